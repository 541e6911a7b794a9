"""Who is asking: API keys, bearer tokens, and the instances of the account."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from efaas.testing.runtime_service.messages import Answer, Refusal, answer_of, refuse

if TYPE_CHECKING:
    from efaas.testing.runtime_service.messages import Request
    from efaas.testing.runtime_service.rules import Rules

__all__ = ["Identity"]


class Identity:
    """The account of one service: its key, its tokens, its instance.

    Tokens are JSON web tokens that live by the machine's time, since that is the time that clients
    judge them by.

    Attributes:
        api_key: What the account logs in with.
        crn: The name of its one instance.
        instance_name: What the instance is called.
    """

    def __init__(
        self,
        seed: int,
        rules: Rules,
        token_seconds: int = 3600,
        wall_time: Callable[[], float] = time.time,
    ) -> None:
        """Make an account.

        Args:
            seed: Decides its key and instance.
            rules: Its plan.
            token_seconds: How long a token lives.
            wall_time: The time that tokens go by, in seconds since 1970.
        """
        digest = hashlib.blake2b(f"account/{seed}".encode(), digest_size=32).hexdigest()
        self.api_key = f"loopback-{digest[:40]}"
        account = digest[:32]
        guid = f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"
        self.crn = f"crn:v1:bluemix:public:quantum-computing:us-east:a/{account}:{guid}::"
        self.instance_name = f"loopback-{rules.plan}"
        self._rules = rules
        self._token_seconds = token_seconds
        self._wall_time = wall_time
        self._generation = 0
        self._secret = hashlib.blake2b(f"secret/{seed}".encode()).digest()

    def token(self, request: Request) -> Answer:
        """A bearer token for an API key.

        Raises:
            Refusal: 400, as the identity service answers to a key that it does not know.
        """
        form = parse_qs(request.body.decode("utf-8", "replace"))
        if form.get("apikey") != [self.api_key]:
            body = {
                "errorCode": "BXNIM0415E",
                "errorMessage": "Provided API key could not be found.",
                "context": {"requestId": "loopback"},
            }
            raise Refusal(answer_of(body, 400))
        now = int(self._wall_time())
        claims = {
            "iss": "loopback",
            "sub": "loopback",
            "iat": now,
            "exp": now + self._token_seconds,
            "generation": self._generation,
        }
        return answer_of(
            {
                "access_token": self._signed(claims),
                "refresh_token": "not_supported",
                "token_type": "Bearer",
                "expires_in": self._token_seconds,
                "expiration": now + self._token_seconds,
                "scope": "ibm openid",
            }
        )

    def revoke_tokens(self) -> None:
        """Let every token that was given out be worth nothing."""
        self._generation += 1

    def check(self, request: Request, *, names_instance: bool = True) -> None:
        """Let a request through that shows a token of this account, and its instance.

        Raises:
            Refusal: 401 without a valid token, 403 for another account's instance.
        """
        kind, _, credential = request.headers.get("authorization", "").partition(" ")
        is_known = kind.lower() == "apikey" and credential == self.api_key
        if not is_known and not (kind.lower() == "bearer" and self._is_valid(credential)):
            raise refuse(
                401,
                1200,
                "You are not authorized to perform this action.",
                "Check that the API key is correct and has not been revoked.",
            )
        if names_instance and request.headers.get("service-crn") != self.crn:
            raise refuse(
                403,
                1200,
                "You are not authorized to perform this action.",
                "Try again or contact support.",
            )

    def instances(self, request: Request) -> Answer:
        """What the global search finds: the account's one instance."""
        self.check(request, names_instance=False)
        item = {
            "crn": self.crn,
            "name": self.instance_name,
            "service_plan_unique_id": self._rules.plan,
            "tags": [],
            "doc": {"extensions": {"quantum": "allocated"}},
        }
        return answer_of({"items": [item], "limit": 100})

    def catalog_entry(self, request: Request) -> Answer:
        """What the catalog says of a plan.

        Raises:
            Refusal: 404 for any other entry.
        """
        if request.names["entry"] != self._rules.plan:
            raise refuse(404, 1404, "There is no such entry in the catalog.")
        return answer_of(
            {
                "id": self._rules.plan,
                "overview_ui": {"en": {"display_name": self._rules.plan.capitalize()}},
                "metadata": {"pricing": {"type": self._rules.pricing}},
            }
        )

    def _signed(self, claims: dict[str, Any]) -> str:
        head = _encoded(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
        body = _encoded(json.dumps(claims).encode())
        return f"{head}.{body}.{self._signature(f'{head}.{body}')}"

    def _signature(self, text: str) -> str:
        return _encoded(hmac.new(self._secret, text.encode(), hashlib.sha256).digest())

    def _is_valid(self, token: str) -> bool:
        content, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature, self._signature(content)):
            return False
        body = content.partition(".")[2]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        is_current = claims["generation"] == self._generation
        return bool(is_current and claims["exp"] > self._wall_time())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
