"""A receiver for Leadhook webhooks in Flask. Save receiver.py beside it.

LEADHOOK_SHARED_TOKEN=whsec_… flask --app flask_app run --port 9000
"""

import os

from flask import Flask, request
from receiver import MAX_BODY, Refused, key_of, receive

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
key = key_of(os.environ.get("LEADHOOK_SHARED_TOKEN", ""))


@app.post("/hook")
def hook():
    return receive(key, request.headers, request.get_data())  # the raw body, not request.json


@app.errorhandler(Refused)
def refused(error):
    code, words = error.args
    return words, code
