#!/usr/bin/env bash
# One Django library is token server and protected API. Both speak otherwise than RFC 6749 and RFC 6750 say.
#
# One expects: an API answers an expired token with 401 and WWW-Authenticate: Bearer error="invalid_token" (RFC 6750,
#   section 3.1), and a token server answers a refused request with application/json (RFC 6749, section 5.2).
# What happens: the library's own view decorator answers an expired token with 403, without WWW-Authenticate and
#   without a body, as it answers a token that never existed. A token request with a resource that is no absolute URI
#   is answered 400 with JSON that says it is text/html; the error for a wrong scope says application/json.
# Versions: django-oauth-toolkit 3.4.1, django 5.2.19.
# Seen: the lines at the end of this script.
# Why it matters: a client that fetches a new token only after 401 never sends again once its first token has expired.
#   A client that reads the error only from application/json loses "invalid_target", and shows a page of HTML instead.
#
# Needs python3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check django==5.2.19 django-oauth-toolkit==3.4.1

cat >look.py <<'PY'
from datetime import timedelta

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="for this run",
    ALLOWED_HOSTS=["testserver"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"],
    OAUTH2_PROVIDER={"SCOPES": {"leads": "Leads"}},
)
django.setup()

from django.core.management import call_command
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path
from django.utils import timezone
from oauth2_provider.decorators import protected_resource
from oauth2_provider.models import AccessToken, Application


@protected_resource(scopes=["leads"])
def leads(request):
    return HttpResponse("taken")


urlpatterns = [path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")), path("leads", leads)]
call_command("migrate", verbosity=0)
Application.objects.create(
    name="CRM",
    client_id="crm",
    client_secret="secret",
    client_type="confidential",
    authorization_grant_type="client-credentials",
)
client = Client()


def token(**more):
    data = {"grant_type": "client_credentials", "client_id": "crm", "client_secret": "secret", **more}
    return client.post("/o/token/", data)


def show(what, answer):
    challenge = answer.headers.get("WWW-Authenticate", "no challenge")
    kind = answer.headers["Content-Type"].split(";")[0]
    print(f"{what}: {answer.status_code}, {challenge}, {kind}, {answer.content[:40].decode()!r}")


def ask(value):
    return client.get("/leads", headers={"authorization": f"Bearer {value}"})


value = token(scope="leads").json()["access_token"]
show("fresh token", ask(value))
AccessToken.objects.update(expires=timezone.now() - timedelta(seconds=1))
show("expired token", ask(value))
show("unknown token", ask("never-given"))
show("wrong scope", token(scope="other"))
show("resource that is no URI", token(scope="leads", resource="crm"))
PY
venv/bin/python look.py 2>log | tee seen

cat >expected <<'TXT'
fresh token: 200, no challenge, text/html, 'taken'
expired token: 403, no challenge, text/html, ''
unknown token: 403, no challenge, text/html, ''
wrong scope: 400, no challenge, application/json, '{"error": "invalid_scope"}'
resource that is no URI: 400, no challenge, text/html, '{"error": "invalid_target", "error_descr'
TXT
diff expected seen && echo "As described."
