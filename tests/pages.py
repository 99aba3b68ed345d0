"""The code blocks of a page."""

import re


def blocks(text: str, *languages: str) -> list[str]:
    """Those of these languages, in their order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [body for language, body in found if language in languages]
