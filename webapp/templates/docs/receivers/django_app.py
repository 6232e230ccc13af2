"""A receiver for Leadhook webhooks in Django. Save receiver.py beside it.

A project needs no more than the view and its line in urlpatterns. To try it, run this file:

LEADHOOK_SHARED_TOKEN=whsec_… python3 django_app.py runserver 9000
"""

import os
import sys

from django.conf import settings
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from receiver import Refused, key_of, receive

key = key_of(os.environ.get("LEADHOOK_SHARED_TOKEN", ""))


@csrf_exempt  # or Django answers 403: Leadhook is no browser with a form of yours
@require_POST
def hook(request):
    try:
        code, words = 200, receive(key, request.headers, request.body)  # not request.META
    except Refused as refused:
        code, words = refused.args
    return HttpResponse(words, status=code, content_type="text/plain; charset=utf-8")


urlpatterns = [path("hook", hook)]  # as in the Lead Webhook URL: Django answers 301 to another slash at the end

if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"])
    execute_from_command_line(sys.argv)
