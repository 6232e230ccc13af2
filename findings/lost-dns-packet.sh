#!/usr/bin/env bash
# One lost packet, and a name is not found, although there were 18 seconds left to ask again.
#
# One expects: Resolver.resolve_name("crm.example.", lifetime=20) asks again when a packet is lost, for 20 seconds.
#   Resolver.resolve does so with the same argument, and so does resolve_name for one family.
# What happens: for both families (the default) resolve_name ends after two seconds with LifetimeTimeout, and has asked
#   once. It takes the time limit of one question (Resolver.timeout, 2 s) for the lifetime of the first look-up, so no
#   time is left for a second question.
# Versions: PyPI dnspython 2.9.2 (the loss is made by a name server on loopback that ignores the first question).
# Seen: the lines below.
# Why it matters: this is the call that looks up IPv4 and IPv6 together, so senders of webhooks use it. On networks
#   that lose packets, a longer lifetime changes nothing.
#
# Needs python3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile dnspython==2.9.2

cat >look.py <<'PY'
import socket
import threading
import time

import dns.flags
import dns.message
import dns.rdatatype
import dns.resolver
import dns.rrset

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
asked = []


def serve():
    while True:
        wire, client = server.recvfrom(4096)
        query = dns.message.from_wire(wire)
        question = query.question[0]
        asked.append(question.rdtype)
        if len(asked) == 1:
            continue  # lost
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        if question.rdtype == dns.rdatatype.A:
            reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", "203.0.113.7"))
        server.sendto(reply.to_wire(), client)


threading.Thread(target=serve, daemon=True).start()
resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers = ["127.0.0.1"]
resolver.port = server.getsockname()[1]


def found(ask):
    asked.clear()
    began = time.monotonic()
    try:
        answer = ask()
    except dns.resolver.LifetimeTimeout as error:
        answer = type(error).__name__
    return f"{answer} after about {time.monotonic() - began:.0f} s, {len(asked)} question(s)"


print("resolve:     ", found(lambda: resolver.resolve("crm.example.", "A", lifetime=20)[0]))
name = "crm.example."
print("resolve_name:", found(lambda: list(resolver.resolve_name(name, socket.AF_INET, lifetime=20).addresses())))
print("both kinds:  ", found(lambda: list(resolver.resolve_name(name, lifetime=20).addresses())))
PY

cat >expected <<'TXT'
resolve:      203.0.113.7 after about 2 s, 2 question(s)
resolve_name: ['203.0.113.7'] after about 2 s, 2 question(s)
both kinds:   LifetimeTimeout after about 2 s, 1 question(s)
TXT

venv/bin/python look.py | tee seen
diff expected seen
echo "As stated."
