# SPDX-License-Identifier: Apache-2.0
"""A real Chromium without a window, driven through ChromeDriver by the W3C's WebDriver protocol."""
import base64
import http.client
import json

from conftest import SLOW, Process, free_port, wait_until

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
         "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"]
PATIENCE = 60


class Browser(Process):
    """A browser with one tab. scripts: whether pages may have some; dark: what the reader prefers."""

    def __init__(self, directory, scripts=True, dark=False, width=1200, height=900):
        self.port = free_port()
        super().__init__(["chromedriver", f"--port={self.port}"])
        wait_until(self._is_ready, "ChromeDriver is not ready", PATIENCE)
        args = [*FLAGS, f"--user-data-dir={directory}", f"--window-size={width},{height}",
                f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
        options = {"args": args}
        if not scripts:
            options["prefs"] = {"profile.managed_default_content_settings.javascript": 2}
        capabilities = {"browserName": "chrome", "goog:chromeOptions": options,
                        "goog:loggingPrefs": {"browser": "ALL"}}
        self.session = None
        self.session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]

    def _is_ready(self):
        try:
            return self._request("GET", "/status")["ready"]
        except OSError:
            return False

    def _request(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE * SLOW)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            response = connection.getresponse()
            value = json.loads(response.read())["value"]
            assert response.status == 200, value
            return value
        finally:
            connection.close()

    def call(self, method, path, body=None):
        return self._request(method, f"/session/{self.session}{path}" if self.session else path, body)

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    @property
    def url(self):
        return self.call("GET", "/url")

    def find(self, selector):
        """The elements that a CSS selector matches."""
        found = self.call("POST", "/elements", {"using": "css selector", "value": selector})
        return [Element(self, e[ELEMENT]) for e in found]

    def one(self, selector):
        found = self.find(selector)
        assert len(found) == 1, f"{len(found)} elements match {selector}"
        return found[0]

    def texts(self, selector):
        return [e.text for e in self.find(selector)]

    def run(self, script):
        """What a script returns; where pages may have none, not even this may."""
        return self.call("POST", "/execute/sync", {"script": script, "args": []})

    def complaints(self):
        """What the console says: a style or an image that the page's policy forbids, and the like."""
        messages = [entry["message"] for entry in self.call("POST", "/se/log", {"type": "browser"})]
        return [m for m in messages if not m.startswith("chrome://")]  # of the browser's own first page

    def press(self, keys):
        """Types on the keyboard, wherever the focus is."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def active(self):
        """The element that has the focus."""
        return Element(self, self.call("GET", "/element/active")[ELEMENT])

    def screenshot(self):
        """A PNG."""
        return base64.b64decode(self.call("GET", "/screenshot"))

    def stop(self, *args, **options):
        if self.session:
            self.call("DELETE", "")
            self.session = None
        return super().stop(*args, **options)


class Element:
    def __init__(self, browser, name):
        self.browser, self.path = browser, f"/element/{name}"

    def __getattr__(self, what):
        """text, computedrole, computedlabel: what WebDriver tells of an element."""
        if what not in ("text", "computedrole", "computedlabel"):
            raise AttributeError(what)
        return self.browser.call("GET", f"{self.path}/{what}")

    def attribute(self, name):
        return self.browser.call("GET", f"{self.path}/attribute/{name}")

    def style(self, name):
        """A computed style."""
        return self.browser.call("GET", f"{self.path}/css/{name}")

    def click(self):
        self.browser.call("POST", f"{self.path}/click", {})

    def clear(self):
        self.browser.call("POST", f"{self.path}/clear", {})

    def type(self, text):
        self.browser.call("POST", f"{self.path}/value", {"text": text})
