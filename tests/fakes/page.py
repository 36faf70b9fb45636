"""The page of the sandbox: what persons would have got, what vendors were asked, and how each can fail.

It is made on the server, needs no script, and is fresh whenever it is loaded. Of requests it shows no more than what
may stand on a screen that somebody shares: bodies, queries and headers are in the log that programs read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jinja2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.fakes.stand_in import StandIn

LATELY = 12
MOST_TEXT = 2_000

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Cadenza sandbox</title>
<style>
  :root { color-scheme: light dark }
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 0 auto; padding: 1rem }
  table { border-collapse: collapse; width: 100% }
  th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8884 }
  td.text { white-space: pre-wrap; overflow-wrap: anywhere }
  h2 { margin: 2rem 0 .25rem } form { display: inline } button { font: inherit; margin: 0 .25rem .25rem 0 }
  code { overflow-wrap: anywhere }
</style>
<h1>Cadenza sandbox</h1>
<p>Stand-ins for vendors, on this machine only. Keys below are worthless. Load the page again for what is new.</p>
<h2>Mails and messages</h2>
{% if letters %}
<table>
<tr><th>when<th>by<th>what<th>to<th>text</tr>
{% for vendor, each in letters %}
<tr><td>{{ each.at.strftime("%H:%M:%S") }}<td>{{ vendor }}<td>{{ each.kind }}<td>{{ each.to }}
<td class="text">{% if each.subject %}<b>{{ each.subject }}</b>
{% endif %}{{ each.text[:most_text] }}</tr>
{% endfor %}
</table>
{% else %}<p>None yet.</p>{% endif %}
{% for vendor in vendors %}
<h2 id="{{ vendor.name }}">{{ vendor.name }}</h2>
<p>{{ (vendor.__doc__ or "").strip().splitlines()[0] }} <a href="/_sandbox/{{ vendor.name }}/log">Log</a></p>
{% for name, value in vendor.credentials().items() %}<div><code>{{ name }}={{ value }}</code></div>{% endfor %}
<p>Let the next request go wrong:
{% for fault in vendor.ways() %}
<form method="post" action="/_sandbox/{{ vendor.name }}/faults"><button name="fault" value="{{ fault }}">{{ fault }}
</button></form>{% endfor %}
{% if vendor.faults %}<br>Waiting: {{ vendor.faults | length }}{% endif %}</p>
{% if vendor.seen %}
<table>
<tr><th>asked<th>answered<th>ms</tr>
{% for each in (vendor.seen | list)[-lately:] | reverse %}
<tr><td><code>{{ each.method }} {{ each.path }}</code><td>{{ each.status or "broken off" }}
<td>{{ (each.seconds * 1000) | round(1) }}</tr>
{% endfor %}
</table>
{% endif %}
{% endfor %}
</html>
"""

_TEMPLATE = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_PAGE)


def shown(url: str, vendors: Iterable[StandIn]) -> str:
    """Return the page as HTML, everything that came from outside escaped."""
    found = list(vendors)
    letters = sorted(((vendor.name, each) for vendor in found for each in vendor.letters), key=lambda pair: pair[1].at)
    return _TEMPLATE.render(url=url, vendors=found, letters=letters[::-1], lately=LATELY, most_text=MOST_TEXT)
