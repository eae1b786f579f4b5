"""The page: escaped, balanced, with nothing to load."""

from html.parser import HTMLParser

import pytest

from gamix_keras.evaluation import html

pytestmark = pytest.mark.backend_free

VOID = {"meta", "img"}
NASTY = '<script>alert("x")</script> & co'


class Balance(HTMLParser):
    """Checks that every tag that opens is closed in order; collects what would be loaded, and the text."""

    def __init__(self):
        super().__init__()
        self.open, self.loaded, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.loaded += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def parsed(text):
    reader = Balance()
    reader.feed(text)
    assert reader.open == []
    return reader


def test_everything_is_escaped_and_closed():
    parts = [
        html.paragraph(NASTY),
        html.notes([NASTY]),
        html.finding(NASTY, NASTY),
        html.table([["", NASTY], [NASTY, "1"]]),
        html.definitions({NASTY: NASTY}),
        html.folded(NASTY, NASTY),
        html.tiles([html.picture(b"png", NASTY)]),
    ]
    reader = parsed(html.page(NASTY, [html.section(NASTY, *parts)]))
    assert reader.text.count(NASTY) == 14
    assert reader.loaded == ["data:image/png;base64,cG5n"]
