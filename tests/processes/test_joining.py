import re

import pytest

import jaxmac


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("node1",), "coordinator is 'node1', but must be HOST:PORT such as node1:12345, or auto"),
        (("node1:x", 2, 0), "coordinator is 'node1:x', but must be HOST:PORT"),
        ((":99999", 2, 0), "coordinator is ':99999', but must be HOST:PORT"),
        (("node1:1", 2), "coordinator='node1:1' needs processes (their number) and process (which one this is)"),
        (("node1:1", 0, 0), "processes is 0, but must be >= 1"),
        (("node1:1", 2, 2), "process is 2, but must be from 0 to 1"),
        (("node1:1", 2, -1), "process is -1, but must be from 0 to 1"),
        (("auto", 2, None), "coordinator='auto' asks the cluster: leave out processes and process"),
        (("node1:1", 2, 0, 0), "timeout is 0, but must be >= 1 second"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused_at_once(given, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        jaxmac.initialize_distributed(*given)
