#!/usr/bin/env bash
# Text changes on its way from one XLSX library to another.
#
# One expects: a text cell written by one library is read unchanged by another.
# What happens: XLSX has its own escape, _xHHHH_, for a character by its hex code. XlsxWriter writes it and calamine
#   reads it. openpyxl writes none, and reads only the escaped underscore (_x005F_). So:
#   - a line break as browsers post it (CR LF), written by XlsxWriter, is read by openpyxl as "_x000D_" and LF;
#   - the text First_x0020_Name (SharePoint's internal name of a column "First Name"), written by openpyxl, is read
#     by calamine as "First Name".
#   The pairs XlsxWriter -> calamine and openpyxl -> openpyxl show neither, so a test with one such pair passes.
# Versions: PyPI XlsxWriter 3.3.1, openpyxl 3.1.5, python-calamine 0.9.1. Excel was not run.
# Seen: the table below.
# Why it matters: HTML says that a browser posts line breaks of a <textarea> as CR LF, so every message of two lines
#   is such a text. pandas reads XLSX by openpyxl unless told otherwise. Make line breaks LF before the export.
#
# Needs python3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check XlsxWriter==3.3.1 openpyxl==3.1.5 python-calamine==0.9.1

cat >look.py <<'PY'
import openpyxl
import python_calamine
import xlsxwriter

TEXTS = ["Please call.\r\nThank you", "Please call.\nThank you", "First_x0020_Name"]


def write_by_xlsxwriter(path):
    book = xlsxwriter.Workbook(path)
    book.add_worksheet().write_column(0, 0, TEXTS)
    book.close()


def write_by_openpyxl(path):
    book = openpyxl.Workbook()
    for text in TEXTS:
        book.active.append([text])
    book.save(path)


def read_by_openpyxl(path):
    return [row[0].value for row in openpyxl.load_workbook(path).active.iter_rows()]


def read_by_calamine(path):
    return [row[0] for row in python_calamine.CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()]


for writer, write in (("XlsxWriter", write_by_xlsxwriter), ("openpyxl", write_by_openpyxl)):
    path = f"{writer}.xlsx"
    write(path)
    for reader, read in (("openpyxl", read_by_openpyxl), ("calamine", read_by_calamine)):
        for text, back in zip(TEXTS, read(path), strict=True):
            print(f"{writer:10} -> {reader:8} {text!r:28}", "same" if back == text else repr(back))
PY

cat >expected <<'TXT'
XlsxWriter -> openpyxl 'Please call.\r\nThank you'  'Please call._x000D_\nThank you'
XlsxWriter -> openpyxl 'Please call.\nThank you'    same
XlsxWriter -> openpyxl 'First_x0020_Name'           same
XlsxWriter -> calamine 'Please call.\r\nThank you'  same
XlsxWriter -> calamine 'Please call.\nThank you'    same
XlsxWriter -> calamine 'First_x0020_Name'           same
openpyxl   -> openpyxl 'Please call.\r\nThank you'  'Please call.\nThank you'
openpyxl   -> openpyxl 'Please call.\nThank you'    same
openpyxl   -> openpyxl 'First_x0020_Name'           same
openpyxl   -> calamine 'Please call.\r\nThank you'  'Please call.\nThank you'
openpyxl   -> calamine 'Please call.\nThank you'    same
openpyxl   -> calamine 'First_x0020_Name'           'First Name'
TXT

venv/bin/python look.py | tee seen
diff expected seen
echo "As stated."
