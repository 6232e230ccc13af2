"""django-oauth-toolkit as a token server, with a protected path /leads. Runs in its own virtual environment.

python django_toolkit.py PORT DATABASE CLIENTS, which are JSON: pairs of id and secret.
"""

import json
import sys

import django
from django.conf import settings

port, database, clients = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
settings.configure(
    DEBUG=False,
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="of a test",
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database, "OPTIONS": {"timeout": 20}}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "oauth2_provider"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # quick; there is nothing to protect
    OAUTH2_PROVIDER={"SCOPES": {"leads": "Leads"}, "ACCESS_TOKEN_EXPIRE_SECONDS": 3600},
)
django.setup()

from django.core.management import call_command  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import include, path  # noqa: E402
from django.utils import timezone  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402
from oauth2_provider.decorators import protected_resource  # noqa: E402
from oauth2_provider.models import AccessToken, Application  # noqa: E402


@csrf_exempt
@protected_resource()
def leads(request):
    return HttpResponse("thank you")


@csrf_exempt
def expire(request):
    """All tokens end now."""
    AccessToken.objects.update(expires=timezone.now() - timezone.timedelta(seconds=1))
    return HttpResponse()


urlpatterns = [
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("leads", leads),
    path("expire", expire),
]
call_command("migrate", verbosity=0)
for client_id, secret in clients:
    Application.objects.create(
        client_id=client_id,
        client_secret=secret,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
        name=client_id,
    )
call_command("runserver", f"127.0.0.1:{port}", use_reloader=False, verbosity=0)
