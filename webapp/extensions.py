"""What the parts share, created here and bound in `create_app`."""

from typing import Any

from flask import Response, current_app
from flask_limiter import Limiter
from flask_login import LoginManager
from flask_mail import Mail
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from flask_wtf.csrf import CSRFProtect

from webapp.delivery.queues import Queues
from webapp.models.base import Base


class Login(LoginManager):  # type: ignore[misc]  # Flask-Login has no types
    """Flask-Login, whose removal of the cookie that keeps people signed in says nothing of HTTPS.

    Of a name that begins with `__Host-` browsers heed nothing that is not `Secure`: they would keep it.
    """

    def _clear_cookie(self, response: Response) -> None:
        config = current_app.config
        response.delete_cookie(
            config["REMEMBER_COOKIE_NAME"],
            secure=config["REMEMBER_COOKIE_SECURE"],
            httponly=config["REMEMBER_COOKIE_HTTPONLY"],
            samesite=config["REMEMBER_COOKIE_SAMESITE"],
        )


# The models stand on a plain DeclarativeBase, which mypy understands; Flask-SQLAlchemy is given its metadata.
db = SQLAlchemy(metadata=Base.metadata)
migrate = Migrate()
csrf = CSRFProtect()
login = Login()
mail = Mail()
queues = Queues()


def _client_address() -> str:
    from flask import request

    return request.remote_addr or "unknown"


# Without headers, which would cost a second look at Redis for every answer: a 429 says when to come again (errors.py).
limiter: Any = Limiter(key_func=_client_address)
