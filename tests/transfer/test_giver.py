"""FileGiver: a folder's files, listed in threads and sent to who asks, some at once."""

from __future__ import annotations

import threading

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import formatEvent
from twisted.words.protocols.jabber.error import StanzaError

from tests.support.fetching import descriptors_in
from tests.support.sending import BOB, URL, Sending, Uploads
from tests.support.streams import outcome
from tests.support.waiting import in_time, until
from twisted_oob import FileSender, OOBHandler, UploadFailed
from twisted_oob.errors import ResourceConstraint
from twisted_oob.files.served_folder import ServedFolder
from twisted_oob.transfer import giver as giver_module
from twisted_oob.transfer.giver import CONCURRENCY, MOST_OF_ONE, FileGiver

DATA = b"some bytes"
PHONE = f"{BOB}/phone"


class Giving:
    """A FileGiver on a stream in memory, with uploads that end as they are told to."""

    def __init__(self, reactor, path, *, ends=URL, **options):
        self.uploads = Uploads(ends)
        self.sending = Sending(uploads=self.uploads, bounce_timeout=1, **options)
        self.path = path
        self.giver = FileGiver(ServedFolder(path), self.sending.sender, reactor=reactor)

    def give(self, name="report.pdf", recipient=PHONE, **options):
        return self.giver.give(recipient, name, **options)

    async def uploading(self, count):
        await until(lambda: len(self.uploads.uploaded) >= count)

    def stanzas(self, name):
        return [one for one in self.sending.end.history if one.name == name]

    async def delivered(self, given):
        """Let a message be out, and not bounce."""
        given = in_time(given)
        await until(lambda: given.called or self.stanzas("message"))
        self.sending.clock.advance(1)
        return await given


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "given"
    path.mkdir()
    (path / "report.pdf").write_bytes(DATA)
    (path / "plan.txt").write_bytes(b"")
    (path / ".hidden").write_bytes(DATA)
    (tmp_path / "secret").write_bytes(DATA)
    return path


@pytest.fixture
def giving(path):
    from twisted.internet import reactor

    def make(**options):
        return Giving(reactor, path, **options)

    return make


def lines(log):
    """Give what the giver logged, as it is written."""
    return [
        formatEvent(event)
        for event in log
        if event["log_namespace"] == "twisted_oob.transfer.giver.FileGiver"
    ]


class SlowFolder(ServedFolder):
    """A folder whose files open when the test lets them."""

    def __init__(self, path):
        super().__init__(path)
        self.entered = threading.Semaphore(0)
        self.may_go_on = threading.Event()

    def open(self, name):
        self.entered.release()
        self.may_go_on.wait(30)
        return super().open(name)

    def list(self, pattern=None, most=50):
        self.entered.release()
        self.may_go_on.wait(30)
        return super().list(pattern, most)


# --- what comes of it


@pytest_twisted.ensureDeferred
async def test_the_files_are_listed_in_a_thread(giving, monkeypatch):
    threads = []
    listed = ServedFolder.list

    def noting(*args):
        threads.append(threading.current_thread())
        return listed(*args)

    monkeypatch.setattr(ServedFolder, "list", noting)
    made = giving()
    files, more = await in_time(made.giver.list("*.PDF"))
    assert ([(one.name, one.size) for one in files], more) == ([("report.pdf", len(DATA))], 0)
    assert len((await in_time(made.giver.list()))[0]) == 2
    assert threading.main_thread() not in threads


@pytest_twisted.ensureDeferred
async def test_who_takes_the_iq_at_the_very_resource_that_asked_gets_one(giving):
    made = giving()
    peer = made.sending.peer(PHONE)
    made.sending.peer(f"{BOB}/oob")
    given = in_time(made.give())
    await until(lambda: any(one["type"] == "set" for one in made.stanzas("iq")))
    offer = peer.next_offer()
    assert (offer.url, offer.info.name, offer.info.size) == (URL, "report.pdf", len(DATA))
    offer.reply_success()
    delivery = await given
    assert (delivery.outcome, delivery.how, delivery.via) == ("received", "iq", "upload")
    assert descriptors_in(made.path) == []


@pytest_twisted.ensureDeferred
async def test_others_get_a_message_that_shows_the_file_though_another_resource_takes_the_iq(
    giving,
):
    made = giving()
    peer = made.sending.peer(PHONE, takes_iq=False)
    made.sending.peer(f"{BOB}/oob")
    delivery = await made.delivered(made.give('"REPORT.pdf"'))
    assert (delivery.outcome, delivery.how) == ("sent", "message")
    message = peer.next_message()
    assert (message.body, message.url, message.info.name) == (URL, URL, "report.pdf")
    assert message.info.sha256 == delivery.sha256
    assert descriptors_in(made.path) == []


@pytest_twisted.ensureDeferred
async def test_who_announces_the_iq_but_takes_none_gets_a_message(giving):
    made = giving()
    peer = made.sending.peer(PHONE)

    def refuse(offer):
        raise StanzaError("service-unavailable")

    peer.oob.on_offer = refuse
    delivery = await made.delivered(made.give())
    assert (delivery.outcome, delivery.how) == ("sent", "message")
    assert peer.next_message().url == URL
    assert descriptors_in(made.path) == []


@pytest.mark.parametrize("answer", ["reject", "not-found"])
@pytest_twisted.ensureDeferred
async def test_who_answers_that_it_has_no_such_file_gets_no_message_besides(giving, answer):
    made = giving()
    peer = made.sending.peer(PHONE)
    given = in_time(made.give())
    await until(lambda: any(one["type"] == "set" for one in made.stanzas("iq")))
    peer.next_offer().reply_failure(answer)
    assert (await given).outcome == answer
    assert made.stanzas("message") == []


@pytest.mark.parametrize("takes_iq", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_component_sends_from_the_address_that_was_asked(giving, takes_iq):
    made = giving(component="bot.example")
    peer = made.sending.peer(PHONE, takes_iq=takes_iq)
    came = []
    if takes_iq:
        peer.oob.on_offer = came.append
    else:
        peer.oob.on_message = came.append
    given = in_time(made.give(sender="files@bot.example/here"))
    await until(lambda: came)
    assert came[0].sender.full() == "files@bot.example/here"
    assert {one["from"] for one in made.sending.end.history} == {"files@bot.example/here"}
    if takes_iq:
        came[0].reply_success()
    else:
        made.sending.clock.advance(1)
    assert (await given).how == ("iq" if takes_iq else "message")
    assert made.sending.is_quiet()


@pytest.mark.parametrize("name", ["nothing", ".hidden", "../secret", "", "a\0b", "*"])
@pytest_twisted.ensureDeferred
async def test_what_is_not_there_is_told_and_nothing_is_sent(giving, name):
    made = giving()
    with pytest.raises(FileNotFoundError) as error:
        await in_time(made.give(name))
    assert str(made.path) not in str(error.value)
    assert made.sending.end.history == []


@pytest_twisted.ensureDeferred
async def test_a_folder_that_is_gone_is_told_without_its_path_and_logged_with_it(giving, path, log):
    made = giving()
    path.rename(path.with_name("elsewhere"))
    for call in (made.giver.list, made.give):
        with pytest.raises(OSError, match="can't be read") as error:
            await in_time(call())
        assert not isinstance(error.value, FileNotFoundError)
        assert str(path) not in str(error.value)
    assert [one.partition(": [Errno 2]")[0] for one in lines(log)] == [
        "can't list the files to give",
        f"Giving report.pdf to {PHONE}",
        f"Giving report.pdf to {PHONE} ended",
    ]
    assert [str(path) in one for one in lines(log)] == [True, False, True]


@pytest_twisted.ensureDeferred
async def test_an_upload_that_fails_is_an_outcome(giving):
    made = giving(ends=UploadFailed(500, "no"))
    delivery = await in_time(made.give())
    assert (delivery.outcome, delivery.how) == ("upload-failed", "message")


@pytest_twisted.ensureDeferred
async def test_a_file_that_is_asked_for_twice_is_uploaded_once(giving):
    made = giving(keep=3600)
    made.sending.peer(PHONE, takes_iq=False)
    first = await made.delivered(made.give())
    second = in_time(made.give())
    await until(lambda: len(made.stanzas("message")) == 2)
    made.sending.clock.advance(1)
    assert await second == first
    assert len(made.uploads.uploaded) == 1


@pytest_twisted.ensureDeferred
async def test_what_is_written_to_the_log_names_the_file_and_no_url(giving, log):
    made = giving()
    made.sending.peer(PHONE, takes_iq=False)
    await made.delivered(made.give())
    with pytest.raises(FileNotFoundError):
        await in_time(made.give("no\x1b[31m such"))
    assert lines(log) == [
        f"Giving report.pdf to {PHONE}",
        f"Giving report.pdf to {PHONE} ended: sent",
        f"Giving no\ufffd[31m such to {PHONE}",
        f"Giving no\ufffd[31m such to {PHONE} ended: there is no such file",
    ]


@pytest_twisted.ensureDeferred
async def test_why_a_file_did_not_arrive_is_logged_without_the_secrets_of_a_url(giving, log):
    made = giving(ends=UploadFailed(500, "no: https://files.example/x?token=abc"))
    await in_time(made.give())
    line = lines(log)[-1]
    assert line.startswith(
        f"Giving report.pdf to {PHONE} ended: upload-failed: the upload failed: "
    )
    assert "abc" not in line


@pytest_twisted.ensureDeferred
async def test_a_component_without_uploads_shares_the_file_for_some_time(net, path):
    sending = Sending(component="bot.example", share=net.share, keep=600, bounce_timeout=1)
    peer = sending.peer(PHONE, takes_iq=False)
    giver = FileGiver(ServedFolder(path), sending.sender, via="share", reactor=net.reactor)
    given = in_time(giver.give(PHONE, "Report.pdf", sender="bot.example"))
    await until(lambda: any(one.name == "message" for one in sending.end.history))
    message = peer.next_message()
    assert (message.body, message.info.size) == (message.url, len(DATA))
    sending.clock.advance(1)
    assert (await given).outcome == "sent"
    await in_time(giver.stop())
    for _ in range(2):
        answer = await in_time(Deferred.fromCoroutine(net.ask(message.url)))
        assert (answer.status, answer.body) == (200, DATA)


# --- how many


@pytest_twisted.ensureDeferred
async def test_one_recipient_has_half_of_what_is_sent_at_once_and_some_wait(giving, monkeypatch):
    opened = []
    open_one = ServedFolder.open
    monkeypatch.setattr(
        ServedFolder, "open", lambda folder, name: opened.append(name) or open_one(folder, name)
    )
    made = giving(ends=None)
    given = [made.give(recipient=f"{BOB}/{number}") for number in range(MOST_OF_ONE)]
    assert isinstance(outcome(made.give()), ResourceConstraint)
    await made.uploading(CONCURRENCY // 2)
    other = made.give(recipient="eve@far.example/phone")
    await made.uploading(CONCURRENCY // 2 + 1)
    assert len(made.uploads.uploaded) == CONCURRENCY // 2 + 1
    given[0].cancel()
    assert isinstance(outcome(given[0]), CancelledError)
    await made.uploading(CONCURRENCY // 2 + 2)
    # There is room for one more now.
    given.append(made.give())
    assert not given[-1].called
    await in_time(made.giver.stop())
    assert len(opened) == CONCURRENCY // 2 + 2
    assert all(isinstance(outcome(one), CancelledError) for one in (*given[1:], other))
    assert descriptors_in(made.path) == []
    assert made.sending.is_quiet()


@pytest_twisted.ensureDeferred
async def test_all_recipients_together_have_so_many_and_no_more(giving):
    made = giving(ends=None)
    given = [made.give(recipient=f"user{number}@far.example/x") for number in range(6)]
    await made.uploading(CONCURRENCY)
    assert len(made.uploads.uploaded) == CONCURRENCY
    given[0].cancel()
    outcome(given[0])
    await made.uploading(CONCURRENCY + 1)
    await in_time(made.giver.stop())
    assert all(isinstance(outcome(one), CancelledError) for one in given[1:])


@pytest_twisted.ensureDeferred
async def test_listings_are_bounded(path, giving, monkeypatch):
    from twisted.internet import reactor

    monkeypatch.setattr(giver_module, "_MOST_LISTINGS", 3)
    folder = SlowFolder(path)
    giver = FileGiver(folder, giving().sending.sender, reactor=reactor)
    listed = [giver.list() for _ in range(3)]
    assert isinstance(outcome(giver.list()), ResourceConstraint)
    folder.may_go_on.set()
    for one in listed:
        assert len((await in_time(one))[0]) == 2
    assert len((await in_time(giver.list()))[0]) == 2


# --- its end


@pytest_twisted.ensureDeferred
async def test_to_cancel_closes_a_file_that_a_thread_still_opens(path, giving):
    from twisted.internet import reactor

    folder = SlowFolder(path)
    made = giving()
    giver = FileGiver(folder, made.sending.sender, reactor=reactor)
    given, listed = giver.give(PHONE, "report.pdf"), giver.list()
    for _ in range(2):
        await until(lambda: folder.entered.acquire(blocking=False))
    stopped = giver.stop()
    assert not stopped.called
    assert isinstance(outcome(giver.give(PHONE, "report.pdf")), ResourceConstraint)
    assert isinstance(outcome(giver.list()), ResourceConstraint)
    folder.may_go_on.set()
    await in_time(stopped)
    assert isinstance(outcome(given), CancelledError)
    assert isinstance(outcome(listed), CancelledError)
    assert descriptors_in(path) == []
    assert made.sending.end.history == []
    assert isinstance(outcome(giver.give(PHONE, "report.pdf")), ResourceConstraint)
    giver.start()
    assert len((await in_time(giver.list()))[0]) == 2


def test_to_stop_without_anything_to_do_ends_at_once(path):
    giver = FileGiver(ServedFolder(path), sender(), reactor=NoThreads())
    assert outcome(giver.stop()) is None


class NoThreads:
    """A reactor for what never begins."""

    def seconds(self):
        return 0.0

    def callLater(self, *_args):
        raise AssertionError("nothing was to be done")


def sender():
    return FileSender(OOBHandler(reactor=NoThreads()), uploads=Uploads())


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        ({"folder": "/srv"}, TypeError, "folder must be a ServedFolder"),
        ({"sender": None}, TypeError, "sender must be a FileSender"),
        ({"reactor": None}, TypeError, "reactor must be"),
        ({"via": "pigeon"}, ValueError, "via must be one of"),
        ({"via": 3}, TypeError, "via must be"),
        ({"via": "share"}, ValueError, "needs a share"),
        (
            {"sender": FileSender(OOBHandler(reactor=NoThreads()))},
            ValueError,
            "needs a share, uploads",
        ),
    ],
)
def test_arguments_are_checked(path, change, kind, text):
    given = {"folder": ServedFolder(path), "sender": sender(), "reactor": NoThreads()} | change
    with pytest.raises(kind, match=text):
        FileGiver(given.pop("folder"), given.pop("sender"), **given)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [(("@", "a"), ValueError), ((3, "a"), TypeError), ((PHONE, b"a"), TypeError)],
)
def test_the_arguments_of_give_fail_its_deferred(path, arguments, kind):
    giver = FileGiver(ServedFolder(path), sender(), reactor=NoThreads())
    assert isinstance(outcome(giver.give(*arguments)), kind)
    assert isinstance(outcome(giver.give(PHONE, "a", sender=3)), TypeError)
