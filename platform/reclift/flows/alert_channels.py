"""How alerts leave the house: a POST to a webhook, a mail over SMTP. What does not arrive raises."""

from __future__ import annotations

import smtplib
import ssl
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any, Literal, Protocol

import orjson

TIMEOUT_SECONDS = 10.0


class Channel(Protocol):
    """One way out. `name` tells it from the others: what was sent is remembered by it."""

    @property
    def name(self) -> str:
        """Unlike any other channel's."""
        ...

    def send(self, alert: Mapping[str, Any]) -> None:
        """Deliver, or raise `OSError` (`smtplib`'s and `urllib`'s errors are such)."""
        ...


@dataclass(frozen=True, slots=True)
class Webhook:
    """POSTs the alert as JSON. `text` is its title and text together, as chat programs show it."""

    url: str
    name: str = "webhook"

    def send(self, alert: Mapping[str, Any]) -> None:
        """Anything but an answer of 2xx raises."""
        request = urllib.request.Request(  # noqa: S310 (the setting takes http and https only)
            self.url,
            data=orjson.dumps(alert),
            headers={"Content-Type": "application/json", "User-Agent": "reclift"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):  # noqa: S310 (as above)
            pass


@dataclass(frozen=True, slots=True, repr=False)
class Mail:
    """Sends a plain mail. Not shown in full anywhere: it holds the password."""

    host: str
    port: int
    security: Literal["none", "starttls", "tls"]
    user: str
    password: str
    sender: str
    to: Sequence[str]
    name: str = "mail"

    def send(self, alert: Mapping[str, Any]) -> None:
        """A server that refuses any receiver raises."""
        message = EmailMessage()
        # A header has one line.
        message["Subject"] = " ".join(str(alert["title"]).split())
        message["From"], message["To"] = self.sender, ", ".join(self.to)
        message.set_content("\n\n".join(str(alert[part]) for part in ("title", "detail", "url") if alert[part]))
        with self._connect() as server:
            if self.security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if self.user:
                server.login(self.user, self.password)
            refused = server.send_message(message)
        if refused:
            raise smtplib.SMTPRecipientsRefused(refused)

    def _connect(self) -> smtplib.SMTP:
        if self.security == "tls":
            return smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context())
        return smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_SECONDS)
