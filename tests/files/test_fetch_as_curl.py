"""Whom a certificate is for: curl and we judge alike."""

from __future__ import annotations

import os
import shutil

import pytest
from cryptography import x509
from twisted.internet.utils import getProcessValue

from tests.support.fetching import step, tls_url
from tests.support.hostile_http import answer
from tests.support.processes import IN_CI, missing
from twisted_oob.errors import FetchFailed


@IN_CI
@pytest.mark.parametrize(
    ("certified", "host"),
    [
        (["files.test"], "files.test"),
        (["FILES.test"], "files.test"),
        (["files.test"], "files.test."),
        (["files.test."], "files.test"),
        (["a_b.test"], "a_b.test"),
        (["_a.test"], "_a.test"),
        (["a---b.test"], "a---b.test"),
        (["ab--c.test"], "ab--c.test"),
        (["xn--bcher-kva.test"], "xn--bcher-kva.test"),
        (["*.b.test"], "a.b.test."),
        (["*.b.test"], "_a.b.test"),
        (["*.b.test"], "ab--c.b.test"),
        (["*.b.test"], "xn--bcher-kva.b.test"),
        (["*.b.test."], "a.b.test"),
        (["*.a_b.test"], "c.a_b.test"),
        (["*.xn--bcher-kva.test"], "a.xn--bcher-kva.test"),
        (["127.0.0.1"], "127.0.0.1"),
        # These are refused.
        (["other.test"], "files.test"),
        (["a-b.test"], "a_b.test"),
        (["*.b.test"], "b.test"),
        (["*.b.test"], "a.a.b.test"),
        (["a.*.test"], "a.b.test"),
        (["*.*.test"], "a.b.test"),
        (["*.test"], "a.test"),
        (["*"], "test"),
        (["f*.b.test"], "foo.b.test"),
        (["xn--*.b.test"], "xn--bcher-kva.b.test"),
        (["127.0.0.2"], "127.0.0.1"),
        ([x509.DNSName("127.0.0.1")], "127.0.0.1"),
        ([x509.UniformResourceIdentifier("https://files.test/")], "files.test"),
    ],
)
@step
async def test_curl_and_we_judge_alike(*, net, fetcher, serve, authority, certified, host):
    if shutil.which("curl") is None:
        missing("curl", "curl")
    net.hosts[host] = ["127.0.0.1"]
    web = serve(*certified)
    web.answers = [answer(b"x"), answer(b"x")]
    url = tls_url(web, host)
    arguments = [
        *("--silent", "--output", os.devnull, "--noproxy", "*", "--cacert", str(authority.file)),
        # Some versions of curl look a name up without its final dot.
        *("--resolve", f"{host}:{web.port}:127.0.0.1"),
        *("--resolve", f"{host.removesuffix('.')}:{web.port}:127.0.0.1", url),
    ]
    status = await getProcessValue(shutil.which("curl"), arguments, env=dict(os.environ))
    assert status in {0, 60}  # 60: the certificate is not good
    try:
        await fetcher(ca_file=authority.file).fetch(url)
    except FetchFailed:
        assert status == 60
    else:
        assert status == 0
