"""The code blocks of a Markdown page."""

import re


def blocks(text: str, *languages: str) -> list[str]:
    """Return the bodies of code blocks in these languages, in order."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [body for language, body in fenced if language in languages]
