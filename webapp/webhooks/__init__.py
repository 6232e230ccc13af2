"""What goes over the wire: payload, signature, request, outcome. Bytes in, outcome out; no Flask, no database."""
