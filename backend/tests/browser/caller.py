"""A person before the page: what they do, what they see and hear, and what their browser noticed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser, ConsoleMessage, Page, Playwright

from backend.ports.speech import SAMPLE_BYTES, SAMPLE_RATE
from backend.tests.protocol_servers.speech_audio import recording

HERE = Path(__file__).parent
PATIENCE = 30.0
AUDIBLE = 0.001
_CONTRACT: dict[str, Any] = {
    "name": "Stargazer",
    "type": "voice",
    "identity": {"short_description": "A guide to the night sky"},
    "configuration": {"voice_enabled": True, "memory_enabled": False},
}
_VOICE: dict[str, Any] = {"provider": "elevenlabs", "voice_id": "calm-female"}


def silence(seconds: float) -> bytes:
    """PCM16 in which nobody speaks."""
    return bytes(round(seconds * SAMPLE_RATE) * SAMPLE_BYTES)


class Caller:
    """A page that is open."""

    def __init__(self, browser: Browser, page: Page) -> None:
        self.browser = browser
        self.page = page
        self.complaints: list[str] = []
        page.on("console", self._heard_console)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        page.set_default_timeout(PATIENCE * 1000)

    async def connect(self) -> dict[str, Any]:
        """Begin the conversation; what the server told then."""
        await self.page.click("#begin")
        ready = await self.told("ready")
        await self.page.wait_for_selector("#controls:not([hidden])")
        return ready

    async def type(self, message: str) -> None:
        """Say something by the keyboard."""
        await self.page.fill("#message", message)
        await self.page.press("#message", "Enter")

    async def in_state(self, state: str) -> None:
        """Wait until the page says that it is."""
        await self.page.wait_for_selector(f'#state[data-state="{state}"]')

    async def told(self, kind: str, number: int = 1) -> dict[str, Any]:
        """Wait for the so-manieth event of a kind; `at` is when it came."""
        return await self._nth("told", kind, number)

    async def sent(self, kind: str, number: int = 1) -> dict[str, Any]:
        """Wait for the so-manieth frame of a kind that the page sends."""
        return await self._nth("sent", kind, number)

    async def all(self, where: str, kind: str | None = None) -> list[dict[str, Any]]:
        """What was `told` or `sent` so far."""
        found: list[dict[str, Any]] = await self.page.evaluate(f"spy.{where}")
        return [one for one in found if kind in (None, one["type"])]

    async def sounding(self, begin: float, end: float) -> list[float]:
        """When the loudspeaker was heard between these moments."""
        sound: list[tuple[float, float]] = await self.page.evaluate("spy.sound")
        return [at for at, peak in sound if peak > AUDIBLE and begin <= at <= end]

    async def reaches(self, moment: float) -> None:
        """Wait until the page's clock does."""
        await self.page.wait_for_function("(moment) => performance.now() > moment", arg=moment)

    async def lines(self, kind: str) -> list[str]:
        """What stands in the conversation: `person`, `agent` or `note`; what nobody heard is in ~tildes~."""
        script = """(all) => all.map((item) => {
            const words = item.querySelector('.words').cloneNode(true);
            for (const cut of words.querySelectorAll('s')) {
                cut.querySelector('.hidden').remove();
                cut.textContent = `~${cut.textContent}~`;
            }
            return words.textContent;
        })"""
        return await self.page.eval_on_selector_all(f"#talk li.{kind}", script)

    async def _nth(self, where: str, kind: str, number: int) -> dict[str, Any]:
        asked = [where, kind, number - 1]
        found = "([where, kind, place]) => spy[where].filter((one) => one.type === kind)[place]"
        handle = await self.page.wait_for_function(found, arg=asked)
        return await handle.json_value()

    def _heard_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")


class Opener:
    """Browsers for one test, on the pages of one server."""

    def __init__(self, playwright: Playwright, chromium: str, url: str, folder: Path) -> None:
        self.url = url
        self._playwright = playwright
        self._chromium = chromium
        self._folder = folder
        self._callers: list[Caller] = []

    async def page_of(
        self, microphone: bytes | None = None, *, loop: bool = False, scripts: Sequence[str] = (), **voice: Any
    ) -> Caller:
        """The page of a new agent. The `microphone` hears this PCM16 from when it is opened; None: it is refused.

        These `scripts` of this folder make the browser another one.
        """
        flags = ["--autoplay-policy=no-user-gesture-required"]
        if microphone is not None:
            file = self._folder / f"microphone-{len(self._callers)}.wav"
            file.write_bytes(recording(microphone))
            flags += [
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={file}{'' if loop else '%noloop'}",
            ]
        browser = await self._playwright.chromium.launch(executable_path=self._chromium, args=flags)
        page = await browser.new_page()
        caller = Caller(browser, page)
        self._callers.append(caller)
        for script in ("spy.js", *scripts):
            await page.add_init_script(path=HERE / script)
        await page.goto(f"{self.url}/voice-demo/{await self._new_agent(voice)}")
        return caller

    async def stored(self, caller: Caller) -> list[dict[str, Any]]:
        """The messages of the thread that the first turn began."""
        started = await caller.told("run.started")
        path = f"{self.url}/api/v1/threads/{started['data']['thread_id']}/messages"
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await http.get(path)).raise_for_status().json()

    async def complaints(self) -> None:
        """Nothing went wrong in any page, and none wanted what its policy forbids."""
        for caller in self._callers:
            violations: list[str] = await caller.page.evaluate("spy.violations")
            found = [*caller.complaints, *violations]
            assert not found, found

    async def close(self) -> None:
        """Close the browsers."""
        for caller in self._callers:
            await caller.browser.close()

    async def _new_agent(self, voice: dict[str, Any]) -> str:
        contract = {**_CONTRACT, "voice": {**_VOICE, **voice}}
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(f"{self.url}/api/v1/agents", json=contract)
        return answer.raise_for_status().json()["id"]
