"""Several responders for one domain: nothing lost, nothing twice; and what real servers do."""

from __future__ import annotations

import re
from collections import Counter
from itertools import chain, product

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import ConnectionDone
from twisted.words.protocols.jabber.xmlstream import TimeoutError as NoAnswerError
from twisted.words.xish import domish

from tests.servers.fleet import (
    OWN,
    PATIENCE,
    SECRET,
    SHARED,
    DocumentedEjabberd,
    Fleet,
    Instance,
    content,
    documented,
)
from tests.servers.servers import DOMAIN
from tests.servers.servers import SECRET as PROSODY_SECRET
from tests.support.network import Sender
from tests.support.processes import IN_CI

OFFERS = 3000
AT_ONCE = 64
NAMES = 300
REQUESTS = 30
FILE = "http://files.example/"
USERS = tuple("abcdefgh")
NUMBERLESS = f"numberless.{DOMAIN}"
BALANCING = ("random", "source", "destination", "bare_source", "bare_destination")


@pytest.fixture(scope="module")
def ejabberd_maker(certificates, tmp_path_factory):
    from twisted.internet import reactor

    certificate = certificates.issue(DOMAIN)

    def make():
        folder = tmp_path_factory.mktemp("ejabberd")
        return DocumentedEjabberd(reactor, folder, certificate, certificates.file)

    return make


@pytest.fixture(scope="module")
def ejabberd(ejabberd_maker):
    """An ejabberd that is just what the documentation shows."""
    made = ejabberd_maker()
    pytest_twisted.blockon(ensureDeferred(made.start()))
    yield made
    pytest_twisted.blockon(ensureDeferred(made.stop()))


@pytest_twisted.async_yield_fixture
async def own_ejabberd(ejabberd_maker):
    """One of the test's own, to be started by it."""
    made = ejabberd_maker()
    yield made
    await made.stop()


@pytest_twisted.async_yield_fixture
async def fleet_on(tmp_path):
    """Makes the test's fleet, for a server."""
    from twisted.internet import reactor

    fleets = []

    def make(server):
        fleets.append(Fleet(reactor, server, tmp_path))
        return fleets[0]

    yield make
    for fleet in fleets:
        await fleet.stop()


@IN_CI
@pytest_twisted.ensureDeferred
async def test_each_offer_is_answered_once_by_one_of_three(ejabberd, fleet_on):
    fleet = fleet_on(ejabberd)
    # There is one sender, which has at most half of the places of each.
    await fleet.start(3, "--concurrency", "16")
    # Ten neighbours have one name, so that the processes want it at the same time.
    paths = [f"/{number}/name-{number % OFFERS // 10}.txt" for number in range(OFFERS)]
    assert len({path.rpartition("/")[2] for path in paths}) == NAMES

    await fleet.answered(fleet.offer_all(paths, at_once=AT_ONCE))

    await fleet.retire()
    assert fleet.outcomes == dict.fromkeys(paths)
    assert len(fleet.answers) == OFFERS
    assert set(fleet.answers.values()) == {1}
    shares = [instance.succeeded() for instance in fleet.instances]
    assert sum(shares, Counter()) == Counter(map(fleet.web.url, paths))
    assert [instance.got() for instance in fleet.instances] == shares
    assert all(share.total() > OFFERS / 10 for share in shares)
    files = fleet.files()
    assert Counter(files.values()) == Counter(map(content, paths))
    assert files.keys() == {
        f"name-{number}{suffix}.txt"
        for number in range(NAMES)
        for suffix in ["", *(f" ({copy})" for copy in range(2, 11))]
    }


@IN_CI
@pytest_twisted.ensureDeferred
async def test_what_a_killed_one_had_stays_unanswered_and_the_others_go_on(own_ejabberd, fleet_on):
    await own_ejabberd.start()
    fleet = fleet_on(own_ejabberd)
    await fleet.start(3, "--concurrency", "24")
    held = numbered("held", 12)
    holding = fleet.web.holding(len(held))
    for path in held:
        fleet.offer(path)
    await holding
    urls = set(map(fleet.web.url, held))
    killed, *others = sorted(
        fleet.instances, key=lambda one: len(urls & one.got().keys()), reverse=True
    )
    flow = fleet.flow(at_once=AT_ONCE)
    await fleet.answered(fleet.offer_all(numbered("first", 200), at_once=8))

    await killed.kill()
    await own_ejabberd.lost(SHARED, 1)
    later = numbered("later", 200)
    await fleet.answered(fleet.offer_all(later, at_once=8))
    flow.end()
    replacement = fleet.launch()
    await replacement.ready()
    fleet.web.release()
    await fleet.retire()

    # The replacement removed what the killed one had begun, and nothing that others worked at.
    removed = re.search(r"Removed (\d+) unfinished", replacement.log)
    assert int(removed[1]) >= len(urls & killed.got().keys()) > 0
    assert {path for path in held if path in fleet.outcomes} == {
        path for path in held if fleet.web.url(path) not in killed.got()
    }
    # Nobody answers in its place, neither ejabberd nor another instance.
    unanswered = set(fleet.offered) - fleet.outcomes.keys()
    assert set(fleet.outcomes.values()) == {None}
    assert unanswered.isdisjoint(later)
    elsewhere = sum((one.got() for one in [*others, replacement]), Counter())
    assert elsewhere.keys().isdisjoint(map(fleet.web.url, unanswered))
    assert len(fleet.answers) == len(fleet.outcomes)
    assert set(fleet.answers.values()) == {1}
    fleet.clock.advance(900)
    assert {type(fleet.outcomes[path]) for path in unanswered} == {NoAnswerError}
    # A file that landed is whole, also where the killed one had no time left to say so.
    landed = Counter(fleet.files().values())
    assert landed >= Counter(map(content, set(fleet.offered) - unanswered))
    assert landed <= Counter(map(content, fleet.offered))


def numbered(name, count):
    return [f"/{name}/{number}.txt" for number in range(count)]


class Lines:
    """Several streams to a server, and the stanzas that arrive on each."""

    def __init__(self, reactor, server):
        self.reactor = reactor
        self.server = server
        self.senders = []
        self.got = []
        self._missing = 0
        self._arrived = None

    async def add(self, domain):
        """Open one; gives its number."""
        sender = Sender(self.server.component_port, domain, SECRET)
        got = []
        self.senders.append(sender)
        self.got.append(got)
        await sender.start()

        def came(stanza):
            got.append(stanza["id"])
            self._missing -= 1
            if self._missing == 0:
                self._arrived.callback(None)

        sender.component.xmlstream.addObserver("/*", came)
        return len(self.senders) - 1

    def send(self, line, id_, sender, recipient, name="message"):
        stanza = domish.Element((None, name))
        stanza["id"], stanza["from"], stanza["to"] = id_, sender, recipient
        if name == "iq":
            stanza["type"] = "get"
        self.senders[line].component.xmlstream.send(stanza)

    def arrival(self, count):
        """Wait until that many more stanzas came, no matter on which."""
        self._missing = count
        self._arrived = Deferred()
        return self._arrived.addTimeout(PATIENCE, self.reactor)

    async def stop(self):
        for sender in self.senders:
            await sender.stop()


@pytest_twisted.async_yield_fixture
async def lines_on():
    """Makes the test's Lines, for a server."""
    from twisted.internet import reactor

    made = []

    def make(server):
        made.append(Lines(reactor, server))
        return made[0]

    yield make
    for lines in made:
        await lines.stop()


def balanced(kind):
    """Give the domain that is balanced in this way."""
    return f"{kind.replace('_', '-')}.{DOMAIN}"


@pytest.fixture(scope="module")
def balanced_ejabberd(ejabberd_maker):
    """An ejabberd with each kind of ``domain_balancing``, for three streams."""
    made = ejabberd_maker()
    made.hosts = [NUMBERLESS, *map(balanced, BALANCING)]
    title, entry = documented("domain_balancing").split("\n", 1)
    entries = [
        entry.replace("files.example.org", balanced(kind)).replace("bare_source", kind)
        for kind in BALANCING
    ]
    numberless = f"  {NUMBERLESS}:\n    type: random\n"
    made.before = "".join([f"{title}\n", *entries, numberless])
    pytest_twisted.blockon(ensureDeferred(made.start()))
    yield made
    pytest_twisted.blockon(ensureDeferred(made.stop()))


@pytest.mark.parametrize("kind", BALANCING)
@pytest_twisted.ensureDeferred
async def test_domain_balancing_goes_by(balanced_ejabberd, lines_on, kind):
    domain = balanced(kind)
    lines = lines_on(balanced_ejabberd)
    from_ = await lines.add(OWN[0])
    receiving = [await lines.add(domain) for _ in range(3)]
    spare = await lines.add(domain)
    senders = [f"{user}@{OWN[0]}/{resource}" for user in USERS for resource in "xy"]
    recipients = [f"{user}@{domain}/{resource}" for user in USERS for resource in "xy"]
    pairs = dict(enumerate(2 * list(product(senders, recipients))))
    arrival = lines.arrival(len(pairs))

    for number, (sender, recipient) in pairs.items():
        lines.send(from_, str(number), sender, recipient)

    await arrival
    went = {int(id_): line for line in receiving for id_ in lines.got[line]}
    assert set(went.values()) == set(receiving)
    # Only as many as its component_number are used; a further one waits in vain.
    assert lines.got[spare] == []

    def decides(key):
        return len({(key(*pairs[number]), line) for number, line in went.items()}) == len(
            {key(*pair) for pair in pairs.values()}
        )

    deciding = {
        "source": decides(lambda sender, _: sender),
        "destination": decides(lambda _, recipient: recipient),
        "bare_source": decides(lambda sender, _: sender.partition("/")[0]),
        "bare_destination": decides(lambda _, recipient: recipient.partition("/")[0]),
    }
    implied = {kind, kind.removeprefix("bare_")} - {"random"}
    assert {name for name, does in deciding.items() if does} == implied


@pytest_twisted.ensureDeferred
async def test_domain_balancing_drops_what_is_for_a_stream_that_is_gone(
    balanced_ejabberd, lines_on
):
    domain = balanced("destination")
    lines = lines_on(balanced_ejabberd)
    from_ = await lines.add(OWN[0])
    gone, *living = [await lines.add(domain) for _ in range(3)]
    lost = balanced_ejabberd.losses(domain)
    arrival = lines.arrival(len(USERS))
    for user in USERS:
        lines.send(from_, user, OWN[0], f"{user}@{domain}")
    await arrival
    dropped = list(lines.got[gone])
    kept = [user for user in USERS if user not in dropped]
    assert dropped
    assert all(lines.got[line] for line in living)

    await lines.senders[gone].stop()
    await balanced_ejabberd.lost(domain, lost + 1)
    arrival = lines.arrival(len(kept) + len(["fence"]))
    for user in dropped:
        lines.send(from_, f"{user} again", OWN[0], f"{user}@{domain}", "iq")
    # A stream keeps the order: these come after whatever became of the others.
    for user in kept:
        lines.send(from_, f"{user} again", OWN[0], f"{user}@{domain}")
    lines.send(from_, "fence", OWN[0], OWN[0])
    await arrival

    assert {f"{user} again" for user in dropped}.isdisjoint(chain(*lines.got))


@pytest_twisted.ensureDeferred
async def test_domain_balancing_without_a_number_lets_nobody_in(balanced_ejabberd, tmp_path):
    from twisted.internet import reactor

    instance = Instance(reactor, balanced_ejabberd, tmp_path, 1, domain=NUMBERLESS)
    await instance.program.printed("the server closed the connection")
    await instance.kill()
    assert f"{NUMBERLESS}: connected" not in instance.log


@pytest_twisted.ensureDeferred
async def test_answers_to_the_shared_domain_go_anywhere_and_to_an_own_one_home(ejabberd, lines_on):
    lines = lines_on(ejabberd)
    peer = await lines.add(OWN[0])
    sharing = [await lines.add(SHARED) for _ in range(3)]
    own = await lines.add(OWN[1])
    fired = Counter()

    for line, sender in ((sharing[0], SHARED), (sharing[0], f"{SHARED}/1"), (own, OWN[1])):
        arrival = lines.arrival(2 * REQUESTS)  # each comes to the peer, and its answer to us
        for _ in range(REQUESTS):
            asked = lines.senders[line].oob.send_url(OWN[0], FILE, sender=sender)
            asked.addCallback(lambda _, sender=sender: fired.update([sender]))
            asked.addErrback(lambda failure: failure.trap(ConnectionDone))
        await arrival

    assert all(lines.got[line] for line in sharing)
    assert 0 < fired[SHARED] < REQUESTS
    assert 0 < fired[f"{SHARED}/1"] < REQUESTS
    assert fired[OWN[1]] == REQUESTS
    assert len(lines.got[peer]) == 3 * REQUESTS


@pytest_twisted.async_yield_fixture
async def prosody(server_maker):
    made = server_maker("prosody")
    await made.start()
    yield made
    await made.stop()


@pytest_twisted.ensureDeferred
async def test_on_prosody_a_second_one_waits_until_the_first_is_gone(prosody, tmp_path):
    from twisted.internet import reactor

    words = {"domain": prosody.component(), "secret": PROSODY_SECRET}
    first = Instance(reactor, prosody, tmp_path, 1, **words)
    second = None
    try:
        await first.ready()
        second = Instance(reactor, prosody, tmp_path, 2, **words)
        await second.program.printed(r'conflict\): "Component already connected"; next attempt in')
        assert "connected\n" not in second.log

        await first.kill()

        await second.ready()
    finally:
        await first.kill()
        if second is not None:
            await second.kill()
