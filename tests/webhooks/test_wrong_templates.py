"""Templates that cannot be used are refused when they are saved, with line, column and path."""

import json

import pytest

from tests.webhooks.leads import document, keys
from webapp.webhooks.formats.places import WrongTemplate
from webapp.webhooks.formats.template import PayloadTemplate
from webapp.webhooks.settings import WrongSetting

KEYS = (*keys(document()), "topics", "in", "not")


def refused(source: str, encode: str = "json") -> WrongTemplate:
    with pytest.raises(WrongTemplate) as found:
        PayloadTemplate.of(source, KEYS, encode)
    error = found.value
    assert error.setting == "template"
    assert str(error).startswith(f"Line {error.line}, column {error.column}")
    assert (f", in {error.path}: " in str(error)) == bool(error.path)
    assert str(error).endswith((".", "?"))
    return error


@pytest.mark.parametrize(
    ("source", "place", "words"),
    [
        ('{"a": "{{ fields.emial }}"}', (1, 11, "a"), "“emial” is not known in fields. Did you mean “email”?"),
        ('{\n\t"a": [1,\n  {"b": "x {{ emial }}"}]}', (3, 15, "a[1].b"), "“emial” is not known. Known are: consents"),
        ('["{{ fields.name ~ lead.name }}"]', (1, 20, "[0]"), "“name” is not known in lead. Known are: fields, id"),
        ('["\\n\\u00e9\\ud83d\\ude80\\"{{ nme }}"]', (1, 28, "[0]"), "“nme” is not known"),
        (
            '["🚀", "{{ source.utm.medum }}"]',
            (1, 11, "[1]"),
            "“medum” is not known in source.utm. Did you mean “medium”?",
        ),
        ("[\"{{ fields['nope'] }}\"]", (1, 3, "[0]"), "“nope” is not known in fields"),
        ('["{{ item }}"]', (1, 6, "[0]"), "“item” is not known"),
        ('["{{ fields.name.first }}"]', (1, 6, "[0]"), "“first” is not known: fields.name is a value without parts"),
        ('["{{ fields.name.upper }}"]', (1, 6, "[0]"), "“upper” is not known: fields.name is a value"),
        ('["{{ fields.name.__class__ }}"]', (1, 6, "[0]"), "“__class__” is not known"),
        ('["{{ self }}"]', (1, 6, "[0]"), "“self” is not known"),
        ('["{{ consents.key }}"]', (1, 6, "[0]"), "“key” is asked of a list"),
        ('["{{ fields.name | uper }}"]', (1, 20, "[0]"), "The filter “uper” is not known. Did you mean “upper”?"),
        ("[\"{{ fields.name | attr('x') }}\"]", (1, 20, "[0]"), "The filter “attr” is not known"),
        ("[\"{{ fields.name | map('upper') }}\"]", (1, 20, "[0]"), "The filter “map” is not known"),
        ('["{{ fields.name | cut }}"]', (1, 20, "[0]"), "The filter is written as cut(100)."),
        ('["{{ fields.name | upper(1) }}"]', (1, 20, "[0]"), "The filter is written as upper."),
        ('["{{ fields.name | cut(n=1) }}"]', (1, 20, "[0]"), "A filter takes texts and numbers only"),
        ('["{{ fields.name | cut(*[1]) }}"]', (1, 20, "[0]"), "A filter takes texts and numbers only"),
        ('["{{ fields.name | cut(0) }}"]', (1, 20, "[0]"), "The filter “cut”: the length must be a whole number"),
        ('["{{ fields.name | cut(1.5) }}"]', (1, 20, "[0]"), "The filter “cut”: the length must be"),
        ('["{{ fields.name | cut(true) }}"]', (1, 20, "[0]"), "The filter “cut”: the length must be"),
        ('["{{ fields.name | cut(fields.name) }}"]', (1, 3, "[0]"), "Only a text or a number can stand here"),
        ("[\"{{ fields.name | replace('', 'x') }}\"]", (1, 20, "[0]"), "the text to replace is empty"),
        ("[\"{{ type | date('Mars') }}\"]", (1, 13, "[0]"), "“Mars” is no time zone"),
        ("[\"{{ type | date('../etc/passwd') }}\"]", (1, 13, "[0]"), "is no time zone"),
        ("[\"{{ type | date('UTC', '%Q') }}\"]", (1, 13, "[0]"), "“%Q” is not known in its format"),
        ("[\"{{ type | date('UTC', '100%') }}\"]", (1, 13, "[0]"), "“%” is not known in its format"),
        ('["x {{ fields.name"]', (1, 5, "[0]"), "This expression cannot be read"),
        ('["{{ }}"]', (1, 3, "[0]"), "This expression cannot be read"),
        ('["{{ fields. }}"]', (1, 3, "[0]"), "This expression cannot be read"),
        ('["{{ \'unended }}"]', (1, 3, "[0]"), "This expression cannot be read"),
        ('["{% if fields.name %}"]', (1, 3, "[0]"), "“{%” is not allowed: use keys such as $if"),
        ('["{{ type }} {% set x = 1 %}"]', (1, 14, "[0]"), "“{%” is not allowed"),
        ('["{# comment #}"]', (1, 3, "[0]"), "“{#” is not allowed"),
        ('["{{ fields.name() }}"]', (1, 3, "[0]"), "Nothing can be called"),
        ('["{{ range(9) }}"]', (1, 3, "[0]"), "Nothing can be called"),
        ('["{{ 1 if fields.name else 2 }}"]', (1, 3, "[0]"), "use the key $if"),
        ('["{{ fields.name is defined }}"]', (1, 3, "[0]"), "“is” is not allowed"),
        ('["{{ fields.name[0:2] }}"]', (1, 3, "[0]"), "Parts of a text are cut"),
        ('["{{ fields[lead.id] }}"]', (1, 3, "[0]"), "Only a text or a number can stand here"),
        ('["{{ 1 < 2 < 3 }}"]', (1, 3, "[0]"), "Compare two values only"),
        ("[\"{{ {'a': 1} }}\"]", (1, 3, "[0]"), "“Dict” of Jinja2 is not allowed"),
        ('["{{ -fields.name }}"]', (1, 3, "[0]"), "Only a text or a number"),
        ('["{{ 9007199254740993 }}"]', (1, 3, "[0]"), "This number is too large"),
        ('["{{ 1e999 }}"]', (1, 3, "[0]"), "This number is too large"),
        *(
            (f'["{{{{ 2 {sign} 3 }}}}"]', (1, 3, "[0]"), "Nothing is calculated")
            for sign in ("+", "-", "*", "/", "//", "%", "**")
        ),
        ("", (1, 1, ""), "This is no JSON: Expecting value"),
        ("Hello {{ fields.name }}", (1, 1, ""), "This is no JSON"),
        ('{"a": {{ fields.name }}}', (1, 8, ""), "This is no JSON: Expecting property name"),
        ('{"a": 1,\n "b": 2,\n}', (3, 1, ""), "This is no JSON: "),
        ('{"a": "x\ny"}', (1, 9, ""), "This is no JSON: Invalid control character"),
        ('{"a": 1} x', (1, 10, ""), "This is no JSON: Extra data"),
        ('{"a": {\n "b": 1, "b": 2}}', (1, 7, ""), "The key “b” stands twice in this object"),
        ('{"a": NaN}', (1, 7, ""), "The number NaN does not fit"),
        ('{"a": 9007199254740993}', (1, 7, ""), "does not fit: write it as text"),
        ('{"a": 1e400}', (1, 7, ""), "does not fit: write it as text"),
        ('{"a": {"$foo": 1}}', (1, 7, "a"), "“$foo” is no key of templates: $each"),
        ('{"{{ fields.name }}": 1}', (1, 1, ""), "A key cannot hold an expression"),
        ('[{"$each": "fields"}]', (1, 13, "[0].$each"), "Here must be one expression alone"),
        ('[{"$each": ["{{ fields }}"]}]', (1, 2, "[0].$each"), "Here must be one expression alone"),
        ('[{"$if": true, "a": 1}]', (1, 2, "[0].$if"), "Here must be one expression alone"),
        ('[{"$if": "is {{ type }}", "a": 1}]', (1, 11, "[0].$if"), "Here must be one expression alone"),
        ('[{"$if": "{{ type }}{{ type }}", "a": 1}]', (1, 11, "[0].$if"), "Here must be one expression alone"),
        ('[{"$else": 1, "a": 1}]', (1, 2, "[0]"), "$else belongs to $if"),
        ('[{"$as": "x", "a": 1}]', (1, 2, "[0]"), "$as belongs to $each"),
        ('[{"$each": "{{ fields }}", "$as": "lead"}]', (1, 2, "[0]"), "cannot be the name of an element"),
        ('[{"$each": "{{ fields }}", "$as": "A b"}]', (1, 2, "[0]"), "cannot be the name of an element"),
        (
            '[{"$each": "{{ fields | pairs }}", "a": "{{ item.label }}"}]',
            (1, 45, "[0].a"),
            "“label” is not known in item",
        ),
        ('[{"$each": "{{ interface }}", "$as": "e", "a": "{{ item }}"}]', (1, 52, "[0].a"), "“item” is not known"),
        ('[{"$value": 1, "a": 1}]', (1, 2, "[0]"), "Beside $value there can be no other key"),
        ('[{"$drop_empty": false, "a": 1}]', (1, 2, "[0]"), "$drop_empty is true, or not there"),
        ('{"$if": "{{ type }}", "a": 1}', (1, 1, ""), "The whole template cannot be left out"),
        ('{"$if": "{{ type }}", "a": 1, "$else": {"$if": "{{ type }}"}}', (1, 1, ""), "cannot be left out"),
        ('{"$value": {"$if": "{{ type }}"}}', (1, 1, ""), "cannot be left out"),
    ],
)
def test_a_mistake_is_shown_with_its_place(source: str, place: tuple[int, int, str], words: str) -> None:
    error = refused(source)
    assert words in str(error)
    assert (error.line, error.column, error.path) == place


@pytest.mark.parametrize(
    "source", ['["a"]', '"{{ fields.name }}"', "5", '{"$each": "{{ fields }}"}', '{"$value": {"a": 1}}']
)
def test_what_is_sent_as_a_form_must_be_one_object(source: str) -> None:
    PayloadTemplate.of(source, KEYS)
    assert "must be one object" in str(refused(source, "form"))


def test_an_encoding_that_does_not_exist_is_refused() -> None:
    with pytest.raises(WrongSetting) as found:
        PayloadTemplate.of("{}", KEYS, "xml")
    assert found.value.setting == "encode"


def test_a_field_that_is_removed_from_the_form_is_an_unknown_name() -> None:
    source = json.dumps({"a": "{{ fields.topics }}"})
    PayloadTemplate.of(source, KEYS)
    with pytest.raises(WrongTemplate, match="“topics” is not known in fields"):
        PayloadTemplate.of(source, ["name"])
    PayloadTemplate.of(source.replace(".topics", " | pick('topics')"), ["name"])


def test_keys_that_are_words_of_jinja_can_be_used() -> None:
    of = document({"in": 1, "not": 2})
    template = PayloadTemplate.of('["{{ fields.in }}", "{{ fields.not }}", "{{ fields[\'in\'] }}"]', ["in", "not"])
    assert json.loads(template.render(of)) == [1, 2, 1]


def test_no_statement_is_smuggled_in() -> None:
    for sign in ("\ufdd0%", "\ufdd0# x #\ufdd0", "{{ type }}\ufdd0% set x = 1 %\ufdd0"):
        with pytest.raises(WrongTemplate):
            PayloadTemplate.of(json.dumps([sign + "{{ type }}"]), KEYS)
