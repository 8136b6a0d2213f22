"""What is known of providers' hosts is the same in each place."""

from __future__ import annotations

from urllib.parse import urlsplit

from oxllm.config.hosts import PATHS
from oxllm.config.litellm_places import BASES


def test_the_path_of_a_host_is_that_of_the_addresses_that_litellms_prefixes_mean() -> None:
    known = {url.hostname: url.path for base in BASES.values() if (url := urlsplit(base)).hostname in PATHS}
    assert known == PATHS
