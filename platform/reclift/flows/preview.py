"""Signed preview links: they show a person any arm of an experiment, and nothing of it enters the data."""

from __future__ import annotations

from dataclasses import dataclass

from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer

from reclift.domain.decision import Decision, Reason
from reclift.flows.errors import Invalid
from reclift.flows.serving import Serving

DAYS = 14


@dataclass(frozen=True, slots=True)
class Preview:
    """What a link shows."""

    experiment: str
    arm: str


class Previews:
    """Makes and reads links' tokens."""

    def __init__(self, secret: str) -> None:
        """`secret` is the installation's signing key."""
        self._signer = URLSafeTimedSerializer(secret, salt="reclift-preview")

    def token(self, preview: Preview) -> str:
        """A token for a shop's URL; it holds for two weeks."""
        return self._signer.dumps([preview.experiment, preview.arm])

    def read(self, token: str) -> Preview:
        """What a token shows; `Invalid` when it is not ours or too old."""
        try:
            experiment, arm = self._signer.loads(token, max_age=DAYS * 86_400)
        except SignatureExpired:
            raise Invalid.of("preview", token, f"is older than {DAYS} days: make a new link") from None
        except (BadSignature, ValueError, TypeError):
            raise Invalid.of("preview", token, "is not a preview token of this installation") from None
        return Preview(str(experiment), str(arm))


def decision(serving: Serving, preview: Preview) -> Decision:
    """The decision that a preview forces: like an override, so it is shown and not counted."""
    if (preview.experiment, preview.arm) not in serving.arms:
        rule = "names an arm that cannot be shown: the experiment is over, or the arm was taken away"
        raise Invalid.of("preview", f"{preview.experiment}/{preview.arm}", rule)
    return Decision(preview.experiment, preview.arm, in_experiment=True, reason=Reason.OVERRIDE)
