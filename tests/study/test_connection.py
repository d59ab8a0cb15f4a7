"""No message about a connection holds a password, however the address is written; none needs a server."""

import pytest

from duckemcc.errors import SourceError
from duckemcc.study.count.connection import connected, without_password


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://bob:s3cret@host:1/db", "postgresql://bob:***@host:1/db"),
        ("postgres://bob@host/db", "postgres://bob@host/db"),
        ("postgresql:///db?host=/run&user=bob", "postgresql:///db?host=/run&user=bob"),
        ("postgresql://:s3cret@host", "postgresql://:***@host"),
        (
            "postgresql://host/db?user=bob&password=s3cret&sslmode=require",
            "postgresql://host/db?user=bob&password=***&sslmode=***",
        ),
        ("postgresql://bob:s3c@ret@host/db", "postgresql://bob:***@host/db"),
        ("postgresql://bob:12/s3cret@host/db", "postgresql://***"),
        ("postgresql://bob:12?s3cret@host/db", "postgresql://***"),
        ("postgresql://bob:12#s3cret@host/db", "postgresql://***"),
        ("postgresql://bob:pa/s3cret@host/db", "postgresql://***"),
        ("postgresql://bob:s3cret@[bad/db", "postgresql://***"),
    ],
)
def test_the_password_of_an_address_is_not_shown(address, shown):
    assert without_password(address) == shown


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("postgresql://bob:s3cret@127.0.0.1:1/db", "Connection refused"),
        ("postgresql://bob:s3cret@[bad/db", "the address cannot be read; write what is special in a password as %XX"),
        ("postgresql://bob:s3cret%zz@127.0.0.1:1/db", "the address cannot be read"),
        ("postgresql://bob:s3cret/x@127.0.0.1:1/db", "the address cannot be read"),
        ("postgresql://127.0.0.1:1/db?user=bob&password=s3cret%zz", "the address cannot be read"),
        ("postgresql://bob:s3cret@127.0.0.1:1/db?colour=red", 'invalid URI query parameter: "colour"'),
        ("postgresql://bob:s3cret@127.0.0.1:1/db?sslmode=s3cret", "the address cannot be read"),
        ("postgresql://bob:s3cret@no.such.host.invalid/db", "could not translate host name"),
    ],
)
def test_why_there_is_no_connection_is_said_without_the_password(address, problem):
    pytest.importorskip("adbc_driver_postgresql")
    with pytest.raises(SourceError) as caught, connected(address, "study 'trial' cannot be read"):
        pass
    chain = [
        caught.value,
        caught.value.__cause__,
        None if caught.value.__suppress_context__ else caught.value.__context__,
    ]
    assert str(caught.value).startswith("study 'trial' cannot be read: there is no connection to postgres")
    assert "s3cret" not in " ".join(map(str, chain))
    assert "\n" not in str(caught.value)
    assert problem in str(caught.value)
