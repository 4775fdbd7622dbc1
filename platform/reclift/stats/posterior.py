"""The Bayesian reading of an effect, as a report shows it: every field has a value or a reason."""

from __future__ import annotations

from collections.abc import Mapping

from reclift.stats import bayes
from reclift.stats.attempts import Attempts
from reclift.stats.estimate import t_quantile
from reclift.stats.lift import Effect, fieller, lift, lift_variance, require_base
from reclift.stats.result import Bayesian, Interval, Reason, finite, finite_interval
from reclift.stats.sums import Sums

_BAYESIAN_FIELDS = ("chance_to_win", "expected_loss", "expected_loss_control", "lift_ci", "difference_ci")


def read_normal(
    effect: Effect | None,
    reasons: Mapping[str, Reason],
    prior: bayes.NormalPrior,
    level: float,
    *,
    higher_is_better: bool,
) -> Bayesian:
    """The normal posterior. The prior is on the lift; for the difference it is scaled by the control's mean.

    Where the control's mean is not positive only a flat prior has a meaning, and losses, being relative, have none.
    """
    model = "normal posterior of the difference"
    if effect is None or effect.df is None:
        why = reasons["difference_ci"]
        return Bayesian(None, None, None, None, None, prior.words, model, dict.fromkeys(_BAYESIAN_FIELDS, why))
    attempt = Attempts()

    def of_difference() -> bayes.Reading:
        scaled = prior
        if prior.sd != float("inf"):
            require_base(effect.base)
            scaled = bayes.NormalPrior(prior.mean * effect.base, prior.sd * effect.base)
        return bayes.normal_reading(effect.difference, effect.difference_variance, scaled, level)

    def of_lift() -> Interval:
        fieller(effect, t_quantile(level, effect.required_df))
        reading = bayes.normal_reading(lift(effect), lift_variance(effect), prior, level)
        return finite_interval(*reading.interval, "lift's interval")

    reading = attempt(_BAYESIAN_FIELDS, of_difference)
    if reading is None:
        return Bayesian(None, None, None, None, None, prior.words, model, attempt.reasons)

    def relative_losses() -> tuple[float, float]:
        require_base(effect.base)
        return finite(reading.loss / effect.base, "loss"), finite(reading.loss_control / effect.base, "loss")

    losses = attempt(("expected_loss", "expected_loss_control"), relative_losses)
    lift_ci = attempt(("lift_ci",), of_lift)
    return _directed(reading, losses, lift_ci, (prior.words, model), attempt.reasons, higher_is_better=higher_is_better)


def read_beta(control: Sums, treatment: Sums, prior: bayes.BetaPrior, level: float, higher_is_better: bool) -> Bayesian:
    """The beta-binomial posterior; it exists for every count, 0 included. Losses are relative to the control's."""
    both = bayes.beta_reading((control.n, control.x), (treatment.n, treatment.x), prior, level)
    base = (control.x + prior.alpha) / (control.n + prior.alpha + prior.beta)
    losses = (both.difference.loss / base, both.difference.loss_control / base)
    words = (prior.words, "beta-binomial")
    return _directed(both.difference, losses, both.lift_ci, words, {}, higher_is_better=higher_is_better)


def _directed(
    reading: bayes.Reading,
    losses: tuple[float, float] | None,
    lift_ci: Interval | None,
    words: tuple[str, str],
    reasons: Mapping[str, Reason],
    *,
    higher_is_better: bool,
) -> Bayesian:
    loss, loss_control = losses or (None, None)
    if not higher_is_better:
        loss, loss_control = loss_control, loss
    return Bayesian(
        chance_to_win=reading.chance if higher_is_better else 1.0 - reading.chance,
        expected_loss=loss,
        expected_loss_control=loss_control,
        lift_ci=lift_ci,
        difference_ci=reading.interval,
        prior=words[0],
        model=words[1],
        reasons=reasons,
    )
