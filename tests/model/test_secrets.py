"""The filter before everything that is shown to the model of other files."""

from __future__ import annotations

import pytest

from diffill.model.secrets import MASK_TEXT, holds_secret, without_secrets

# Put together here, so that no scanner takes this file for a leak.
GITHUB = "ghp_" + "a1B2c3D4e5F6g7H8i9J0" + "k1L2m3N4o5P6q7R8"
AWS = "AKIA" + "ABCDEFGHIJKLMNOP"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize("secret", [GITHUB, AWS])
def test_tokens_are_found_and_masked(secret: str) -> None:
    text = f'a = 1\nvalue = "{secret}"\nb = 2\n'
    assert holds_secret(text)
    assert without_secrets(text) == f'a = 1\nvalue = "{MASK_TEXT}"\nb = 2\n'


def test_a_private_key_goes_as_a_whole() -> None:
    assert without_secrets(f"key = '''{KEY}'''\nx = 1\n") == f"key = '''{MASK_TEXT}'''\nx = 1\n"
    assert without_secrets(KEY[:50] + "\nMIIEow") == MASK_TEXT  # cut off before its end


@pytest.mark.parametrize("line", ['DB_PASSWORD = "hunter2!"', '"api_key": "0123456789"', "client_secret='abcdefgh'"])
def test_what_a_name_says_is_a_secret_is_masked(line: str) -> None:
    masked = without_secrets(line)
    assert MASK_TEXT in masked and "hunter2" not in masked and "0123" not in masked and "abcd" not in masked


@pytest.mark.parametrize("code", ["def password(self): ...", "token = next(tokens)", "sha1 = 'da39a3ee5e6b4b0d'"])
def test_code_is_left_alone(code: str) -> None:
    assert not holds_secret(code) and without_secrets(code) == code
