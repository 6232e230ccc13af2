"""Names, postal addresses and e-mail addresses in the shapes that real ones have; the people are invented."""

NAMES = """\
Ada Lovelace
Li
Q
Madonna
A. Lovelace
A.Lovelace
Dr.Ada Lovelace
Dr. Ada Lovelace
Ada Lovelace, M.Sc.
Ada Lovelace, Ph.D., P.E.
Prof. Dr. med. dent. Eva Müller-Lüdenscheidt
Dipl.-Ing. (FH) Jürgen Weiß
Lovelace, Ada
Lovelace; Ada
ADA LOVELACE
ada lovelace
adaLovelace
Ada "The Countess" Lovelace
Ada “Countess” Lovelace
Ada (née Byron) Lovelace
Ada Lovelace [she/her]
Ada Lovelace / Charles Babbage
Ada & Charles Babbage
Ada + Charles
Ada Lovelace @ Engines
Ada_Lovelace
Ada Lovelace 2nd
John Smith III
John Smith Jr.
John Smith, Jr
J. R. R. Tolkien
J.R.R. Tolkien
JRR Tolkien
Martin Luther King Jr.
Mary-Jane O'Neill
Mary–Jane O’Neill
Sinéad O’Connor
Sean O`Brien
D'Artagnan
d'Arc, Jeanne
Jean‑Luc Picard
Jean-Luc de la Tour d’Auvergne
Ludwig van Beethoven
Vincent van 't Hoff
Pieter van ’t Veld
Otto von und zu Guttenberg
Leonardo da Vinci
María José Carreño Quiñones
José María de la Cruz y García
Ximena Núñez Íñiguez
João da Silva Júnior
Conceição Assunção Guimarães
Renée Zoë Noël
Renée Zoë Noël
François Lefèvre
M. Dupont
Mme Hélène d’Œuvre
Ægir Þórðarson
Björk Guðmundsdóttir
Bjørn Ångström
Søren Ærø
Åsa Öberg
Väinö Äijälä
Łukasz Żółć
Święty Mikołaj
Jiří Dvořák
Ľudovít Štúr
Đorđe Šćepanović
Ștefan Țepeș
Ştefan Ţepeş
Gülşah İnönü
Işıl Çağlar
Nguyễn Thị Ánh Tuyết
Trần Đình Hượng
Kamehameha Kaʻahumanu
Liliʻuokalani
Te Ataïrangikaahu
ʻAlapaʻi
Ọláṣubọ̀mí Adéyẹmí
Ńdéòyé Ọ̀bí
ǃXóõ ǂKhomani
Chloë Moët
X Æ A-12
Null
None
NaN
undefined
True
No
N/A
Test
Mr Null
Jennifer Null
Ng
Wu
O
E
Αθηνά Παπαδοπούλου
Ἀριστοτέλης
Лев Николаевич Толстой
Ёлкин Пётр
Ґалина Їжакевич
Ђорђе Његош
Нұрсұлтан Әбішұлы
Մարիամ Հակոբյան
ნინო ბერიძე
דוד בן־גוריון
ג׳ורג׳ לוי
محمد بن عبد الله
عائشة الزَّهراء
فاطمة
علی‌رضا می‌خواهم
خان بہادر
אַבֿרהם
अमिताभ बच्चन
श्रीमती क्षत्रिय
শর্মিলা ঠাকুর
ਗੁਰਪ੍ਰੀਤ ਸਿੰਘ
சுப்பிரமணியம்
ශ්‍රී ජයවර්ධන
ഉണ്ണി മുകുന്ദൻ
สมชาย ใจดี
ນາງ ສົມສີ
ဒေါ်အောင်ဆန်း
សុខា
བསྟན་འཛིན
ገብረ እግዚአብሔር
李小龙
歐陽修
山田　太郎
山田 太郎
ヤマダ　タロウ
ﾔﾏﾀﾞ ﾀﾛｳ
齋藤 髙橋
𠮷野家
𠮟責
佐々木〆
김철수
남궁 민수
Ada 👩🏽‍💻 Lovelace
👨‍👩‍👧‍👦 The Smiths
Zoë ❤️
Ada™
Sr. Teresa OSB
Sir Ian McKellen
MacDonald-McDonald
Fitz-William-Smythe-Jones-Brown
Hubert Blaine Wolfeschlegelsteinhausenbergerdorff Sr.
Rhoshandiatellyneshiaunneveshenk Koyaanisquatsiuth Williams
Anna-Lena von der Oelsnitz-Freifrau zu Fürstenberg-Stammheim
=SUM(A1)
-Ada
--
+Ada
@ada
#1 Plumbing
50% Off Ltd
Smith & Sons' Ltd.
R&D "Süd" GmbH & Co. KG
Yahoo!
¿Qué?
E*Trade
C++ Users
AT&T
<3
<b>Ada</b>
&amp; Sons
{{ name }}
${name}
%s
\\server
'; DROP TABLE leads; --
1234
007
1e5
Ⅷ
№ 5
½ Pint
ﬁnn
Ｆｕｌｌ Ｗｉｄｔｈ
""".splitlines()

POSTAL = [
    address.replace(" | ", "\n")
    for address in """\
12 Example Street | London | SW1Y 4JH
Flat 3/2, 12A Example St. | Glasgow G1 1AA
Unit #5, 100–102 High Street
221B Baker Street
1600 Pennsylvania Ave NW | Washington, DC 20500-0003
One Apple Park Way, Bldg. 3
P.O. Box 123 | Springfield, IL 62701
PSC 1234, Box 5678 | APO AE 09123
RR 2 Box 45-B
123 1/2 Main St
123 ½ Main St
Musterstraße 1 | 10115 Berlin
Musterstr. 12-14 a, 3. OG links | 80331 München
Postfach 10 01 | 50667 Köln
c/o Müller | Hinterhaus, 2. Stock
Stiege 2/Tür 14 | 1010 Wien
Rue de l’Église 5 bis | 75001 Paris
12, rue de la Paix – Bâtiment B, Esc. 2 | CEDEX 08
BP 12345 | 98713 Papeete
Avenue Louise 54/b7 | 1050 Bruxelles
's-Gravenweg 1 | 2901 AB Capelle aan den IJssel
Oude ’s-Gravenhof 12-III hs
C/ Mayor, 5, 3º B | 28013 Madrid
Cra. 7 # 32-16 Of. 501 | Bogotá D.C.
Av. Insurgentes Sur No. 1602, Int. 4, Col. Crédito Constructor | C.P. 03940
Rua São João, nº 10, 2.º Dto. | 1000-001 Lisboa
Av. Paulista, 1578 - Cj. 41 | 01310-200 São Paulo/SP
SQS 308 Bl. "C" Ap. 101 | Brasília-DF
Via dell’Orso 16/A, int. 3 | 00186 Roma (RM)
Storgata 1 B, H0201 | 0155 Oslo
Østerbrogade 1, 2. tv | 2100 København Ø
Björkgatan 7 lgh 1102 | 113 28 Stockholm
Hämeenkatu 1 A 12 | 33100 Tampere
Laugavegur 1 | 101 Reykjavík
ul. Świętokrzyska 1/3 m. 5 | 00-002 Warszawa
Václavské nám. 1 | 110 00 Praha 1
Ferenc krt. 12. fszt. 3. | 1092 Budapest
Str. Ștefan cel Mare nr. 1, bl. A, sc. 2, et. 3, ap. 12
бул. „Витоша“ № 1, ет. 2 | 1000 София
ул. Тверская, д. 1, корп. 2, кв. 3 | 125009 Москва
вул. Хрещатик, 1-А | Київ, 01001
Λεωφ. Βασ. Σοφίας 1 | 106 74 Αθήνα
Atatürk Cad. No:1/A D:5 | 34357 Beşiktaş/İstanbul
רח׳ דיזנגוף 99, ת״א
شارع الملك فهد، مبنى ١٢، شقة ٣ | الرياض ١٢٣٤٥
خیابان ولی‌عصر، پلاک ۱۲
H.No. 3-4-5/A, Opp. SBI, M.G. Road | Hyderabad – 500 001
ग्राम पोस्ट – रामपुर, जिला सीतापुर
99/9 หมู่ 5 ซ.สุขุมวิท 21 (อโศก) | กรุงเทพฯ 10110
Số 1, ngõ 12/34 Đội Cấn, P. Cống Vị
Jl. Jend. Sudirman Kav. 52-53, RT.5/RW.3
Blk 123 Ang Mo Kio Ave 3 #12-345 | S(560123)
Flat B, 12/F, Block 3, 1–3 Queen’s Road
北京市朝阳区建国路１号 3号楼5单元
台北市信義區信義路五段7號89樓之1
〒100-0001　東京都千代田区千代田１−１
東京都港区芝公園4丁目2-8 ハイツ「芝」２０１号
서울특별시 종로구 세종대로 1 (세종로), 101동 202호
Lot 5, 12 Smith Rd (cnr Jones St) | Wagga Wagga NSW 2650
Level 3, The “Old” Mill | Te Whanganui-a-Tara 6011
Plot 7, off Ring Rd., behind Shell | Accra
///filled.count.soap
51.5034° N, 0.1276° W
""".splitlines()
]

MAIL = """\
ada@example.com
a@b.co
a.b@example.com
a_b@example.com
a-b@example.com
-ada@example.com
_ada_@example.com
1@example.com
007@example.com
ada+shop@example.com
ada+a+b@example.com
ada=shop@example.com
ada&charles@example.com
o'neill@example.com
o’neill@example.com
ada!@example.com
#1@example.com
$ada@example.com
%ada@example.com
ada*@example.com
ada/lovelace@example.com
ada?@example.com
{ada}@example.com
~ada@example.com
^ada@example.com
`ada`@example.com
ada|b@example.com
ADA@example.com
Ada.Lovelace@example.com
ada@mail.example.com
ada@a.b.c.d.example.com
ada@my-company.example.com
ada@123.example.com
ada@4you.example.com
ada@example.museum
ada@example.technology
ada@example.co.uk
ada@example.com.au
ada@exämple.com
jörg@exämple.de
é@example.com
用户@例子.公司
юзер@пример.рф
χρήστης@παράδειγμα.ελ
उपयोगकर्ता@उदाहरण.भारत
पता@example.com
müller@example.com
josé@example.com
ñandú@example.es
ada.lovelace.of.the.analytical.engines.department.in.london@example.com
ada@averyverylonglabelthatstaysbelowthelimitofsixtythreecharacters.com
prefix.3f2504e0-4f89-11d3-9a0c-0305e82c3301@reply.example.com
bounce+ada=example.org@lists.example.com
""".splitlines()
