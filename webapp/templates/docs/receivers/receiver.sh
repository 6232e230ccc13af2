#!/bin/sh
# A complete receiver for Leadhook webhooks, a CGI script. It needs a web server with CGI, openssl, jq and flock.
# To try it:
#
#     mkdir -p site/cgi-bin && cp receiver.sh site/cgi-bin/ && chmod +x site/cgi-bin/receiver.sh
#     LEADHOOK_SHARED_TOKEN=whsec_… busybox httpd -f -p 127.0.0.1:9000 -h site
#
# The Lead Webhook URL ends in /cgi-bin/receiver.sh.

tolerance=300    # seconds that a timestamp may be off
max_body=1048576 # bytes
seen=${LEADHOOK_SEEN_FILE:-${TMPDIR:-/tmp}/leadhook-seen} # webhook-ids; it only grows

answer() { # code, words
  printf 'Status: %s\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s' "$1" "$2"
  exit
}

is_number() { # up to 12 digits
  case $1 in '' | *[!0-9]* | ?????????????*) return 1 ;; esac
}

sha256() { openssl dgst -sha256 -binary; }

# Each byte of the key, and zeros up to 64 bytes, in exclusive-or with $1.
pad() {
  count=0
  for byte in $(printf %s "${LEADHOOK_SHARED_TOKEN#whsec_}" | openssl base64 -d -A | od -An -v -t u1); do
    printf "\\$(printf %03o $((byte ^ $1)))"
    count=$((count + 1))
  done
  while [ $count -lt 64 ]; do
    printf "\\$(printf %03o "$1")"
    count=$((count + 1))
  done
}

# HMAC-SHA256 of the input, in base64 (RFC 2104). `openssl dgst -hmac` would show the key in the list of processes.
hmac() {
  { pad 92; { pad 54; cat; } | sha256; } | sha256 | openssl base64 -A
}

# Answers with a refusal unless Leadhook sent this body just now.
verify() { # the file with the body
  [ -n "$id" ] && [ -n "$timestamp" ] && [ -n "$signatures" ] ||
    answer 400 'webhook-id, webhook-timestamp and webhook-signature are needed'
  is_number "$timestamp" || answer 400 'webhook-timestamp is not a number of seconds'
  off=$(($(date +%s) - $(printf %s "$timestamp" | sed 's/^0*//;s/^$/0/')))
  [ "${off#-}" -le $tolerance ] || answer 401 'webhook-timestamp is more than 5 minutes off'
  expected=$({ printf '%s.%s.' "$id" "$timestamp"; cat "$1"; } | hmac) # the raw body, before any parser
  set -f
  # Two signatures come while a token is being rotated; one of them must fit. Their hashes are compared, so that
  # the time it takes tells nothing about the expected one.
  for given in $signatures; do
    [ "$(printf %s "$given" | sha256 | od -An -t x1)" != "$(printf 'v1,%s' "$expected" | sha256 | od -An -t x1)" ] || return 0
  done
  answer 401 'the signature does not fit'
}

# Where your work begins: store the lead, answer, and do what is slow afterwards.
keep() { # the file with the body
  jq -r '"Received \(.type) \(.data.lead.id) \(.data.lead.fields | tojson)"' "$1" >&2
}

id=$HTTP_WEBHOOK_ID timestamp=$HTTP_WEBHOOK_TIMESTAMP signatures=$HTTP_WEBHOOK_SIGNATURE
[ "$REQUEST_METHOD" = POST ] || answer 405 'leads come by POST'
key_length=$(printf %s "${LEADHOOK_SHARED_TOKEN#whsec_}" | openssl base64 -d -A 2>/dev/null | wc -c)
[ "$key_length" -ge 24 ] || answer 500 'LEADHOOK_SHARED_TOKEN is not set to the Shared Token' # an empty key would let everyone sign
is_number "$CONTENT_LENGTH" || answer 411 'Content-Length is needed'
[ "$CONTENT_LENGTH" -le $max_body ] || answer 413 'the body is too long'
body=$(mktemp) && trap 'rm -f "$body"' EXIT
head -c "$CONTENT_LENGTH" > "$body"
verify "$body"

# Keeps what is new. A repeat is a success, too: we have it.
exec 9>> "$seen" && flock 9
grep -qxF -e "$id" "$seen" && answer 200 'already received'
keep "$body" || answer 500 'not kept, please send it again'
printf '%s\n' "$id" >&9 # only now: had keeping failed, the retry would be needed
answer 200 received
