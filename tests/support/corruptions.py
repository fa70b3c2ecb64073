"""Random damage to the two text files of a run. Each kind returns the new content of the file."""

import csv
import io
import json

JUNK = [None, True, -1, 0, 1.5, 10**12, "", "ab", [], [1], {}, {"a": 1}, "nan", "inf"]


def leaves(node, path=()):
    """The paths of all fields of a JSON document, those of objects and lists too."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from leaves(value, (*path, key))


def at(node, path):
    for key in path:
        node = node[key]
    return node


def edited(draw, text, edit):
    """The document after `edit(parent, key)` of a random field."""
    document = json.loads(text)
    path = draw.choice(list(leaves(document)))
    edit(at(document, path[:-1]), path[-1])
    return json.dumps(document, indent=2)


def without_a_field(draw, text):
    return edited(draw, text, lambda parent, key: parent.pop(key))


def of_another_type(draw, text):
    def edit(parent, key):
        kinds = (type(parent[key]), *((int, float) if type(parent[key]) in (int, float) else ()))
        parent[key] = draw.choice([value for value in JUNK if type(value) not in kinds])

    return edited(draw, text, edit)


def with_a_renamed_field(draw, text):
    document = json.loads(text)
    paths = [path for path in leaves(document) if isinstance(path[-1], str)]
    path = draw.choice(paths)
    parent = at(document, path[:-1])
    parent[path[-1] + draw.choice("sxé_")] = parent.pop(path[-1])
    return json.dumps(document, indent=2)


def with_a_field_twice(draw, text):
    lines = text.splitlines()
    fields = [i for i, line in enumerate(lines) if line.startswith('  "') and line.endswith(",")]
    simple = [i for i in fields if lines[i].rstrip(",")[-1] not in "[{"]
    line = draw.choice(simple)
    return "\n".join([*lines[:line], lines[line].partition(":")[0] + ": 7,", *lines[line:]])


def with_a_number_that_is_none(draw, text):
    document = json.loads(text)
    numbers = [path for path in leaves(document) if type(at(document, path)) in (int, float)]
    path = draw.choice(numbers)
    at(document, path[:-1])[path[-1]] = draw.choice([float("nan"), float("inf"), float("-inf")])
    return json.dumps(document, indent=2)


def nested(draw, text):
    deep = draw.choice(["[" * 50_000 + "]" * 50_000, '{"a":' * 50_000 + "1" + "}" * 50_000])
    return draw.choice([deep, text.replace('"sweep": {', f'"sweep": {{"gamma": {deep},', 1)])


def of_another_document(draw, text):
    return draw.choice(["[]", "{}", "null", "3", '"a"', "", " ", "[1]", '{"format": 2}', '{"format": "2"}'])


def reindented(draw, text):
    return json.dumps(json.loads(text), indent=draw.choice([None, 1, 4])) + draw.choice(["", "\n\n", " "])


def truncated(draw, text):
    return text[: draw.randrange(len(text))]


def with_a_flipped_bit(draw, text):
    data = bytearray(text.encode())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(data)


def with_garbage(draw, text):
    data, garbage = text.encode(), draw.randbytes(draw.randrange(1, 9))
    place = draw.randrange(len(data))
    return data[:place] + garbage + data[place:]


def with_a_byte_order_mark(draw, text):
    return b"\xef\xbb\xbf" + text.encode()


def in_another_encoding(draw, text):
    return draw.choice(
        [text.encode("utf-16"), text.encode("utf-32"), text.encode() + "é".encode("latin-1") + b"\n"]
    )


def table(text):
    return list(csv.reader(io.StringIO(text)))


def written(rows, **options):
    stream = io.StringIO()
    csv.writer(stream, **{"lineterminator": "\n", **options}).writerows(rows)
    return stream.getvalue()


def without_a_row(draw, text):
    rows = table(text)
    rows.pop(draw.randrange(len(rows)))
    return written(rows)


def with_a_row_twice(draw, text):
    rows = table(text)
    rows.insert(draw.randrange(1, len(rows)), draw.choice(rows))
    return written(rows)


def with_rows_exchanged(draw, text):
    rows = table(text)
    a, b = draw.sample(range(len(rows)), 2)
    rows[a], rows[b] = rows[b], rows[a]
    return written(rows)


def without_a_column(draw, text):
    rows, column = table(text), draw.randrange(len(table(text)[0]))
    return written([[*row[:column], *row[column + 1 :]] for row in rows])


def with_columns_exchanged(draw, text):
    rows = table(text)
    a, b = draw.sample(range(len(rows[0])), 2)
    for row in rows if draw.random() < 0.5 else rows[:1]:
        row[a], row[b] = row[b], row[a]
    return written(rows)


def with_another_cell(draw, text):
    rows = table(text)
    row, column = draw.randrange(1, len(rows)), draw.randrange(len(rows[0]))
    junk = ["", "x", "-1", "9999999", "1.5.2", "nan", "1e999", "0x1", "1_0", " ", "True", "é", '"', "\0"]
    rows[row][column] = draw.choice([value for value in junk if value != rows[row][column]])
    return written(rows)


def with_a_cell_less_or_more(draw, text):
    rows = table(text)
    row = draw.choice(rows)
    column = draw.randrange(len(row))
    row[column : column + 1] = draw.choice([[], [row[column], "0"]])
    return written(rows)


def with_other_separators(draw, text):
    return draw.choice([text.replace(",", ";"), text.replace(",", "\t"), text.replace(".", ",")])


def with_other_line_ends(draw, text):
    return draw.choice([text.replace("\n", "\r\n"), written(table(text), quoting=csv.QUOTE_ALL)]).encode()


def with_a_torn_row(draw, text):
    last = text.splitlines()[-1]
    return text + last[: draw.randrange(1, len(last))]


CONFIG = (
    without_a_field,
    of_another_type,
    with_a_renamed_field,
    with_a_field_twice,
    with_a_number_that_is_none,
    nested,
    of_another_document,
    reindented,
    truncated,
    with_a_flipped_bit,
    with_garbage,
    with_a_byte_order_mark,
    in_another_encoding,
)
METRICS = (
    without_a_row,
    with_a_row_twice,
    with_rows_exchanged,
    without_a_column,
    with_columns_exchanged,
    with_another_cell,
    with_a_cell_less_or_more,
    with_other_separators,
    with_other_line_ends,
    with_a_torn_row,
    truncated,
    with_a_flipped_bit,
    with_garbage,
    with_a_byte_order_mark,
    in_another_encoding,
)
# A bit or byte may turn a number into another one that is allowed, or a text into another text: nobody can tell
# that from an edit. What is read is then what the file says.
EDITS = (with_a_flipped_bit, with_garbage, with_another_cell, with_columns_exchanged, of_another_type)
