"""Authlib as a token server (client credentials), with a path for leads that only takes its tokens. Over TLS."""

import logging
import ssl
import time
from dataclasses import dataclass
from threading import Thread
from types import TracebackType
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, scope_to_list
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6750 import BearerTokenValidator
from flask import Flask, Response, request
from werkzeug.serving import make_server

SCOPES = ["leads", "leads:write"]


class _Grant(ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")


@dataclass
class _Client(ClientMixin):
    client_id: str
    secret: str
    methods: tuple[str, ...]

    def get_client_id(self) -> str:
        return self.client_id

    def get_allowed_scope(self, scope: str) -> str:
        return " ".join(one for one in scope_to_list(scope or "") if one in SCOPES)

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == self.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in self.methods

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"


@dataclass
class _Token(TokenMixin):
    value: str
    scope: str
    ends_at: float
    is_withdrawn: bool = False

    def check_client(self, client: Any) -> bool:
        return True

    def get_scope(self) -> str:
        return self.scope

    def is_expired(self) -> bool:
        return time.time() > self.ends_at

    def is_revoked(self) -> bool:
        return self.is_withdrawn


class TokenServer:
    """A context manager. `asked`: the forms of token requests; `leads`: the bodies that got in; `tokens`: all given.

    `methods`: how the client may send its credentials, as Authlib names them.
    """

    def __init__(self, context: ssl.SSLContext, client_id: str, secret: str) -> None:
        self.methods: tuple[str, ...] = ("client_secret_basic",)
        self.client = _Client(client_id, secret, self.methods)
        self.lasts = 3600
        self.asked: list[dict[str, str]] = []
        self.leads: list[bytes] = []
        self._came: list[bytes] = []
        self.tokens: list[_Token] = []
        self._server = make_server("127.0.0.1", 0, self._app(), threaded=True, ssl_context=context)
        self.port = self._server.server_port
        self.token_url = f"https://localhost:{self.port}/token"
        self.lead_url = f"https://localhost:{self.port}/leads"

    @property
    def refused(self) -> int:
        """How many leads came without a token that is good."""
        return len(self._came) - len(self.leads)

    def withdraw(self) -> None:
        """All tokens given so far end now, unknown to their owners."""
        for token in self.tokens:
            token.is_withdrawn = True

    def __enter__(self) -> "TokenServer":
        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    def _app(self) -> Flask:
        app = Flask("token-server")
        app.config["OAUTH2_SCOPES_SUPPORTED"] = SCOPES
        app.config["OAUTH2_TOKEN_EXPIRES_IN"] = f"{__name__}.no_lifetime"
        server = AuthorizationServer(app, self._client_of, self._keep)
        server.register_grant(_Grant)
        protector = ResourceProtector()
        protector.register_token_validator(_validator_of(self))

        @app.post("/token")
        def token() -> Any:
            self.asked.append(request.form.to_dict())
            self.client.methods = self.methods
            return server.create_token_response()

        @app.post("/leads")
        def leads() -> Response:
            self._came.append(request.get_data())
            with protector.acquire():
                self.leads.append(request.get_data())
            return Response("thank you", 200)

        return app

    def _client_of(self, client_id: str) -> _Client | None:
        return self.client if client_id == self.client.client_id else None

    def _keep(self, token: dict[str, Any], _: Any) -> None:
        token["expires_in"] = self.lasts
        self.tokens.append(_Token(token["access_token"], token.get("scope", ""), time.time() + self.lasts))


def no_lifetime(*_: object) -> int:
    """Authlib's default for the lifetime; TokenServer puts its own in its place."""
    return 1


def _validator_of(server: TokenServer) -> BearerTokenValidator:
    class Validator(BearerTokenValidator):
        def authenticate_token(self, token_string: str) -> _Token | None:
            return next((one for one in server.tokens if one.value == token_string), None)

    return Validator()
