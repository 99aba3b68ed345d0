"""What tests of the page share."""

import shutil
from collections.abc import Callable

import pytest

PATIENCE = 300_000  # milliseconds; it guards against hanging only


@pytest.fixture(scope="module")
def chromium():
    """The system's browser; Playwright brings its driver only."""
    playwright = pytest.importorskip("playwright.sync_api")
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")

    def waiting(make: Callable) -> Callable:
        def made(**options: object) -> object:
            context_or_page = make(**options)
            context_or_page.set_default_timeout(PATIENCE)
            return context_or_page

        return made

    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=found, args=["--no-sandbox"], timeout=PATIENCE
        )
        browser.new_context = waiting(browser.new_context)
        browser.new_page = waiting(browser.new_page)
        yield browser
        browser.close()
