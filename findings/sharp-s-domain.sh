#!/usr/bin/env bash
# Mail to ada@straße.example goes to another domain than the one that was checked.
#
# One expects: a validator and a mailer agree on the domain that "straße.example" means.
# What happens: Flask-Mail and Django write it by Python's "idna" codec, which is IDNA 2003: ß becomes ss, and the mail
#   goes to strasse.example. That is a domain of its own, which may belong to someone else. email-validator (by the
#   package idna, IDNA 2008), browsers and Node say xn--strae-oqa.example. So the DNS is asked about one domain and the
#   mail goes to the other. Nodemailer mails to the right one. Neither mailer reports the change.
# Versions: PyPI Flask-Mail 0.10.0, django 5.2.19, email-validator 2.4.0, idna 3.20, aiosmtpd 1.4.6;
#   npm nodemailer 10.6.1.
# Seen: the lines below; "mailed to" is what the SMTP server gets in RCPT TO.
# Why it matters: a confirmation with personal data goes to a stranger. It helps to write the domain by the package idna
#   before the mailer sees it: both leave xn--strae-oqa.example as it is.
#
# Needs python3 and node.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

npm install --silent --no-audit --no-fund --ignore-scripts nodemailer@10.6.1 >npm.log &
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile \
  Flask-Mail==0.10.0 django==5.2.19 email-validator==2.4.0 idna==3.20 aiosmtpd==1.4.6
wait $!

cat >look.mjs <<'JS'
import nodemailer from "nodemailer";

const [, , port, to] = process.argv;
const server = nodemailer.createTransport({ host: "127.0.0.1", port, secure: false, ignoreTLS: true });
await server.sendMail({ from: "shop@example.org", to, subject: "Hello", text: "Hello" });
JS

cat >look.py <<'PY'
import socket
import subprocess

from aiosmtpd.controller import Controller
from django.conf import settings
from django.core.mail import send_mail
from email_validator import validate_email
from flask import Flask
from flask_mail import Mail, Message

got = []


class Server:
    async def handle_DATA(self, server, session, envelope):
        got.extend(envelope.rcpt_tos)
        return "250 OK"


with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
server = Controller(Server(), hostname="127.0.0.1", port=port)
server.start()
settings.configure(EMAIL_HOST="127.0.0.1", EMAIL_PORT=port)
app = Flask("shop")
app.config.update(MAIL_SERVER="127.0.0.1", MAIL_PORT=port)
mail = Mail(app)


def flask_mail(to):
    with app.app_context():
        mail.send(Message("Hello", [to], sender="shop@example.org", body="Hello"))


def django(to):
    send_mail("Hello", "Hello", "shop@example.org", [to])


def nodemailer(to):
    subprocess.run(["node", "look.mjs", str(port), to], check=True)


checked = validate_email("ada@straße.example", check_deliverability=False, test_environment=True)
print("checked:", checked.normalized, "which is", checked.ascii_email)
node = 'console.log("URL in Node:", new URL("https://straße.example").hostname)'
print(subprocess.run(["node", "-e", node], capture_output=True, text=True).stdout.strip())
for to in (checked.normalized, checked.ascii_email):
    for send in (flask_mail, django, nodemailer):
        send(to)
        print(f"{to:25} {send.__name__:10} mailed to {got.pop()}")
server.stop()
PY

cat >expected <<'TXT'
checked: ada@straße.example which is ada@xn--strae-oqa.example
URL in Node: xn--strae-oqa.example
ada@straße.example        flask_mail mailed to ada@strasse.example
ada@straße.example        django     mailed to ada@strasse.example
ada@straße.example        nodemailer mailed to ada@xn--strae-oqa.example
ada@xn--strae-oqa.example flask_mail mailed to ada@xn--strae-oqa.example
ada@xn--strae-oqa.example django     mailed to ada@xn--strae-oqa.example
ada@xn--strae-oqa.example nodemailer mailed to ada@xn--strae-oqa.example
TXT

PYTHONUTF8=1 venv/bin/python look.py | tee seen
diff expected seen
echo "As stated."
