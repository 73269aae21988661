"""An OpenID Connect issuer on the loopback: its description, its keys, and tokens that it signs."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import jwt
from azure.core.credentials import AccessToken
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

#: What the SDKs ask an issuer for, and the audience of its tokens.
SCOPE = "https://eventgrid.azure.net/.default"
AUDIENCE = "https://eventgrid.azure.net"
SENDER, RECEIVER = "EventGrid Data Sender", "EventGrid Data Receiver"
LIFETIME_S = 600


class Issuer:
    """Runs within a `with` block."""

    def __init__(self) -> None:
        self._keys = {
            "rsa": rsa.generate_private_key(public_exponent=65_537, key_size=2_048),
            "p256": ec.generate_private_key(ec.SECP256R1()),
            "p384": ec.generate_private_key(ec.SECP384R1()),
            "ed25519": ed25519.Ed25519PrivateKey.generate(),
        }
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Issuer":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add_key(self, name: str) -> None:
        """A key more, as issuers make one from time to time."""
        self._keys[name] = ec.generate_private_key(ec.SECP256R1())

    def remove_key(self, name: str) -> None:
        del self._keys[name]

    def token(
        self, roles: list[str], algorithm: str = "RS256", key: str | None = None, **changes: Any
    ) -> str:
        """A token; a claim that is changed to None is left out."""
        key = key or KEY_OF[algorithm]
        claims = {
            "iss": self.url, "aud": AUDIENCE, "sub": "conformance", "roles": roles,
            "exp": int(time.time()) + LIFETIME_S, "nbf": int(time.time()), **changes,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, self._keys[key], algorithm, headers={"kid": key})

    def _documents(self) -> dict[str, Any]:
        return {
            "/.well-known/openid-configuration": {
                "issuer": self.url, "jwks_uri": f"{self.url}/keys"
            },
            "/keys": {"keys": [public(name, key) for name, key in self._keys.items()]},
        }

    def _handler(issuer) -> type[BaseHTTPRequestHandler]:  # noqa: N805: `self` is the handler's
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                document = issuer._documents().get(self.path)
                body = json.dumps(document).encode()
                self.send_response(404 if document is None else 200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: Any) -> None:
                pass

        return Handler


KEY_OF = {
    **dict.fromkeys(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"], "rsa"),
    "ES256": "p256",
    "ES384": "p384",
    "EdDSA": "ed25519",
}


def public(name: str, key: Any) -> dict[str, Any]:
    """The public half of a key, as a JSON Web Key."""
    kinds = [
        (rsa.RSAPrivateKey, RSAAlgorithm),
        (ec.EllipticCurvePrivateKey, ECAlgorithm),
        (ed25519.Ed25519PrivateKey, OKPAlgorithm),
    ]
    (algorithm,) = (algorithm for kind, algorithm in kinds if isinstance(key, kind))
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": name, "use": "sig"}


class Credential:
    """A credential of the SDKs' kind, such as those of `azure-identity`."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *scopes: str, **more: Any) -> AccessToken:
        assert scopes == (SCOPE,), scopes
        return AccessToken(self._token, int(time.time()) + LIFETIME_S)
