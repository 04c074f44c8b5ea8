"""Keys and tokens in text. The one filter for everything that the model is given of other files. No torch.

What is found is never returned or logged, only that something was, or the text without it.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detect_secrets.plugins.base import RegexBasedDetector

MASK_TEXT = "<secret>"
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
# What is assigned to a name like these. A text that is only shown to the model loses nothing by one mask too many.
_ASSIGNED = re.compile(
    r"""(?i)(\b[\w.-]{0,40}(?:passw(?:or)?d|secret|token|api_?key|private_?key|credential)[\w.-]{0,40}["']?\s*[:=]\s*)(["'])[^"'\n]{4,}\2"""
)


def holds_secret(text: str) -> bool:
    """Whether the text has something in the form that an issuer gives its keys."""
    return any(next(iter(detector.analyze_string(text)), None) is not None for detector in _detectors())


def without_secrets(text: str) -> str:
    """The text with every key, token and password in it replaced by `<secret>`."""
    text = _PRIVATE_KEY.sub(MASK_TEXT, text)
    for detector in _detectors():
        for pattern in detector.denylist:  # what they call found is a group of the match, for some only its beginning
            text = pattern.sub(MASK_TEXT, text)
    return _ASSIGNED.sub(rf"\1\2{MASK_TEXT}\2", text)


def secret_lines(text: str) -> list[int]:
    """Where `without_secrets` masks something: lines, from 1."""
    patterns = [_PRIVATE_KEY, _ASSIGNED, *(pattern for one in _detectors() for pattern in one.denylist)]
    starts = {match.start() for pattern in patterns for match in pattern.finditer(text)}
    return sorted({text.count("\n", 0, start) + 1 for start in starts})


@cache
def _detectors() -> list[RegexBasedDetector]:
    """Those that know one issuer's form; by entropy or keyword alone every table of hashes would be found."""
    from detect_secrets.plugins import (
        artifactory,
        aws,
        azure_storage_key,
        discord,
        github_token,
        gitlab_token,
        jwt,
        mailchimp,
        npm,
        openai,
        private_key,
        pypi_token,
        sendgrid,
        slack,
        square_oauth,
        stripe,
        telegram_token,
        twilio,
    )  # fmt: skip

    return [
        artifactory.ArtifactoryDetector(),
        aws.AWSKeyDetector(),
        azure_storage_key.AzureStorageKeyDetector(),
        discord.DiscordBotTokenDetector(),
        github_token.GitHubTokenDetector(),
        gitlab_token.GitLabTokenDetector(),
        jwt.JwtTokenDetector(),
        mailchimp.MailchimpDetector(),
        npm.NpmDetector(),
        openai.OpenAIDetector(),
        private_key.PrivateKeyDetector(),
        pypi_token.PypiTokenDetector(),
        sendgrid.SendGridDetector(),
        slack.SlackDetector(),
        square_oauth.SquareOAuthDetector(),
        stripe.StripeDetector(),
        telegram_token.TelegramBotTokenDetector(),
        twilio.TwilioKeyDetector(),
    ]
