"""Every setting once: name, type, default and help. Read from the environment with the prefix `RECLIFT_`."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class SettingsError(ValueError):
    """A setting has a value that cannot be used; the message names the variable, the value and the rule."""


class Settings(BaseSettings):
    """What a process is told from outside. The descriptions are the documentation (docs/operator.md lists them)."""

    model_config = SettingsConfigDict(env_prefix="RECLIFT_", extra="ignore", frozen=True)

    data_dir: Path = Field(
        Path("var"), description="Folder of the SQLite file, models, spool, downloads and secret key."
    )
    database_url: str = Field(
        "", description="SQLAlchemy URL of the database. Empty: a SQLite file `reclift.db` in the data folder."
    )
    redis_url: str = Field(
        "", description="Redis for jobs and the event buffer. Empty: embedded mode, no Redis needed."
    )
    secret_key: str = Field(
        "", description="Signs sessions and preview links. Empty: made once and kept in the data folder."
    )
    pseudonym_key: str = Field(
        "",
        pattern=r"^$|^.{16,}$",
        description="Keep user ids only as a hash with this key (at least 16 characters). Set it before the first "
        "event and never change it: people would become strangers. Empty: ids are kept as they come.",
    )
    environment: str = Field(
        "", description="A word for the top bar that tells installations apart (Demo, Staging, …)."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe log line shown.")
    log_format: Literal["console", "json"] = Field("console", description="Log lines for people or for machines.")
    threads: int = Field(
        10,
        ge=1,
        le=512,
        description="Threads of each server process for what has to wait: pages, first meetings, strategies.",
    )
    max_body_bytes: int = Field(
        5_000_000, ge=1_000, description="Largest request body taken; a larger one is answered with 413."
    )
    max_events: int = Field(1_000, ge=1, le=100_000, description="Most events in one call of /events.")
    max_k: int = Field(200, ge=1, le=10_000, description="Most items in one recommendation.")
    strategy_timeout_ms: int = Field(
        150, ge=1, description="After this long a strategy's answer is not waited for; the fallback fills the list."
    )
    history_length: int = Field(200, ge=1, description="Latest signals of a user that strategies see.")
    answers_kept: int = Field(
        10_000,
        ge=0,
        description="Lists of strategies that each process keeps in memory, until something new is known about the "
        "user (some kilobytes each). 0: none; every list is asked for.",
    )
    plan_poll_seconds: float = Field(
        1.0, gt=0, le=60, description="How often each process looks for a newer configuration in the database."
    )
    default_strategy: str = Field("popularity", description="Strategy and fallback of the placements made at set-up.")
    event_weights: dict[str, Annotated[float, Field(ge=0, le=1_000_000)]] = Field(
        {"click": 1.0, "add_to_cart": 3.0, "purchase": 5.0, "rating": 1.0},
        description="How much an event of each type tells strategies; other types tell nothing. JSON.",
    )
    max_clock_skew_seconds: float = Field(
        300.0, ge=0, description="Client timestamps further ahead than this are clamped to the time of arrival."
    )
    stream_fsync: Literal["always", "everysec", "unchecked"] = Field(
        "always",
        description="The weakest `appendfsync` of Redis that counts as durable for events; `unchecked`: you answer for "
        "it, where Redis may not be asked. A weaker Redis takes no events: they go to the database.",
    )
    stream_max_bytes: int = Field(
        500_000_000,
        ge=1_000_000,
        description="Most bytes of events that wait in Redis; beyond it they go to the database.",
    )
    stream_claim_seconds: float = Field(
        30.0,
        gt=0,
        description="A batch of events that a drain took from Redis and has not finished after so long is handed to "
        "another one.",
    )
    report_every_seconds: int = Field(300, ge=5, description="How often reports of running experiments are recomputed.")
    train_every_hours: float = Field(24.0, gt=0, description="How often strategies in use are trained anew.")
    model_check_users: int = Field(
        500, ge=0, description="Users of whom a new model must find the item chosen last; 0: models are not measured."
    )
    model_floor: float = Field(
        0.5,
        ge=0,
        le=1,
        description="A new model starts to answer only with this share of the active one's hit rate; 0: any.",
    )
    keep_models: int = Field(5, ge=1, description="Versions kept for each strategy and parameters; older are removed.")
    keep_facts_days: int = Field(
        0,
        ge=0,
        description="Events and impressions older than this are dropped, unless an experiment still needs them; "
        "totals and reports stay. 0: kept for good.",
    )
    keep_reports: int = Field(50, ge=1, description="Computed reports kept for each experiment and phase.")
    alert_webhook_url: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        description="Alerts (split off, guardrail harmed, result, no data) are POSTed here as JSON. Empty: not.",
    )
    alert_mail_to: list[str] = Field([], description="Addresses that alerts are mailed to. JSON. Empty: not mailed.")
    alert_mail_from: str = Field("reclift@localhost", description="Sender of these mails.")
    smtp_host: str = Field("localhost", description="Server that takes them.")
    smtp_port: int = Field(587, ge=1, le=65535, description="Its port.")
    smtp_security: Literal["none", "starttls", "tls"] = Field("starttls", description="How the connection is secured.")
    smtp_user: str = Field("", description="User at this server. Empty: no sign-in.")
    smtp_password: str = Field("", repr=False, description="Its password.")
    public_url: str = Field(
        "", pattern=r"^(https?://\S+)?$", description="Where people reach Reclift, for links in alerts."
    )
    session_hours: float = Field(12.0, gt=0, description="How long a sign-in lasts without activity.")
    secure_cookies: bool = Field(
        default=False, description="Send session cookies over HTTPS only. Switch on behind a TLS proxy."
    )
    sign_in_limit: str = Field("10 per minute", description="Sign-in attempts allowed for one address.")

    @property
    def sqlalchemy_url(self) -> str:
        """The database's URL with the default filled in."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'reclift.db'}"

    @property
    def embedded(self) -> bool:
        """Whether jobs run in a child of the server, over files, because no Redis is set."""
        return not self.redis_url

    @property
    def models_dir(self) -> Path:
        """Where model artifacts lie."""
        return self.data_dir / "models"

    @property
    def spool_dir(self) -> Path:
        """Where events wait when nothing else takes them."""
        return self.data_dir / "spool"

    def signing_key(self) -> str:
        """The secret key; without the setting, one that is made once and kept readable to its owner only."""
        if self.secret_key:
            return self.secret_key
        path = self.data_dir / "secret_key"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return path.read_text().strip()
        with os.fdopen(descriptor, "w") as file:
            key = secrets.token_hex(32)
            file.write(key)
        return key


def load_settings(**overrides: object) -> Settings:
    """Read the environment; `SettingsError` names the variable, its value and the rule it breaks."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic validates them
    except ValidationError as error:
        lines = [
            f"RECLIFT_{'_'.join(str(part) for part in problem['loc']).upper()}={problem['input']!r}: {problem['msg']}"
            for problem in error.errors()
        ]
        raise SettingsError("; ".join(lines)) from error
