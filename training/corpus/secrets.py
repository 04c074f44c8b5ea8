"""Keys and tokens in source text. What is found is never returned or logged, only that something was."""

from __future__ import annotations

from functools import cache

from detect_secrets.plugins.artifactory import ArtifactoryDetector
from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
from detect_secrets.plugins.base import RegexBasedDetector
from detect_secrets.plugins.discord import DiscordBotTokenDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.plugins.mailchimp import MailchimpDetector
from detect_secrets.plugins.npm import NpmDetector
from detect_secrets.plugins.openai import OpenAIDetector
from detect_secrets.plugins.private_key import PrivateKeyDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector
from detect_secrets.plugins.twilio import TwilioKeyDetector

# Those that know one issuer's form. The detectors by entropy and by keyword refuse every table of hashes and every
# `password=` argument of a library that handles passwords.
DETECTORS: tuple[type[RegexBasedDetector], ...] = (
    *(ArtifactoryDetector, AWSKeyDetector, AzureStorageKeyDetector, DiscordBotTokenDetector, GitHubTokenDetector),
    *(GitLabTokenDetector, JwtTokenDetector, MailchimpDetector, NpmDetector, OpenAIDetector, PrivateKeyDetector),
    *(PypiTokenDetector, SendGridDetector, SlackDetector, SquareOAuthDetector, StripeDetector),
    *(TelegramBotTokenDetector, TwilioKeyDetector),
)


def holds_secret(text: str) -> bool:
    """Whether any detector fires. Their patterns do not cross lines, so the text is searched whole."""
    return any(next(iter(detector.analyze_string(text)), None) is not None for detector in _detectors())


@cache
def _detectors() -> list[RegexBasedDetector]:
    return [detector() for detector in DETECTORS]
