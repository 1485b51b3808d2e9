"""The table in the documents names every row, and the tests that there are."""

import re


def test_every_row_has_a_test_and_the_table_in_the_documents_names_it(load):
    table = load("tests/compatibility/table.py")
    tests = table.tests_by_row()
    assert list(table.ROWS) == [f"F2.{number:02}" for number in range(1, 46)]
    assert set(tests) == set(table.ROWS)
    lines = [line for line in table.TABLE.read_text().splitlines() if line.startswith("| F2.")]
    written = {}
    for line in lines:
        row, _, _, result, names = (cell.strip() for cell in line.strip("|").split("|"))
        written[row] = re.findall(r"`([^`]+)`", names)
        assert result == "pass" or result.startswith(("partly: ", "no: "))
    assert written == tests, "run tests/compatibility/table.py"
