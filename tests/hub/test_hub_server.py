"""The Hub of the tests answers the real client as the Hub does: what it uploads it finds again, and every refusal is
the exception that the client has for it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hub_server import Hub
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
)
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

REPO = "someone/net"
SMALL = b'{"num_classes": 8}'
LARGE = bytes(range(256)) * 8000


@pytest.fixture
def net(hub: Hub) -> str:
    """Hash of a commit with a small and a large file."""
    return hub.add(REPO, {"config.json": SMALL, "model.safetensors": LARGE})


def status(error: pytest.ExceptionInfo[HfHubHTTPError]) -> int:
    return error.value.response.status_code


def test_what_is_uploaded_is_found_again(hub: Hub, tmp_path: Path) -> None:
    api, model = HfApi(), tmp_path / "model.safetensors"
    model.write_bytes(LARGE * 5)  # 10 MB
    assert api.whoami()["name"] == "someone"
    assert api.create_repo(REPO, private=True).repo_id == REPO
    operations = [CommitOperationAdd("model.safetensors", model), CommitOperationAdd("a/config.json", SMALL)]
    info = api.create_commit(REPO, operations, commit_message="Add the network", commit_description="of a test")
    assert [(c.sha, c.title, c.description, c.author) for c in hub.commits(REPO)][0] == (
        *(info.oid, "Add the network", "of a test", "someone"),
    )
    assert hub.commits(REPO)[0].files["model.safetensors"].large
    assert len(hub.seen("PUT /storage")) == len(hub.seen("POST .*/verify")) == 1
    assert api.list_repo_files(REPO) == [".gitattributes", "a/config.json", "model.safetensors"]
    assert api.model_info(REPO).private and api.model_info(REPO).sha == info.oid
    for path, content in (("model.safetensors", LARGE * 5), ("a/config.json", SMALL)):
        assert hub.read(REPO, "main", path) == Path(hf_hub_download(REPO, path)).read_bytes() == content
    assert (Path(snapshot_download(REPO)) / "a" / "config.json").read_bytes() == SMALL
    assert api.file_exists(REPO, "a/config.json") and not api.file_exists(REPO, "b")


def test_a_commit_that_changes_nothing_is_not_made(hub: Hub, net: str) -> None:
    operations = [CommitOperationAdd("model.safetensors", LARGE), CommitOperationAdd("config.json", SMALL)]
    assert HfApi().create_commit(REPO, operations, commit_message="Again").oid == net == hub.commits(REPO)[0].sha
    assert not hub.seen("PUT") and not hub.seen("POST .*/commit/")


def test_metadata_are_hash_and_size_and_where_it_lies(hub: Hub, net: str) -> None:
    large, small = (get_hf_file_metadata(hf_hub_url(REPO, path)) for path in ("model.safetensors", "config.json"))
    assert (large.etag, large.size, large.commit_hash) == (hashlib.sha256(LARGE).hexdigest(), len(LARGE), net)
    assert large.location.startswith(f"{hub.storage}/storage/{REPO}/")
    assert small.etag == hashlib.sha1(b"blob %d\0" % len(SMALL) + SMALL).hexdigest()
    assert (small.size, small.location) == (len(SMALL), hf_hub_url(REPO, "config.json"))
    info = HfApi().model_info(REPO, files_metadata=True)
    assert {s.rfilename: s.lfs.sha256 for s in info.siblings if s.lfs} == {"model.safetensors": large.etag}
    listed = HfApi().get_paths_info(REPO, ["model.safetensors", "config.json", "absent"])
    assert [(f.path, f.size, bool(f.lfs)) for f in listed] == [
        ("model.safetensors", len(LARGE), True),
        ("config.json", len(SMALL), False),
    ]


def test_branches_tags_hashes_and_pull_requests_are_revisions(hub: Hub, net: str) -> None:
    api = HfApi()
    api.create_branch(REPO, branch="next")
    api.create_tag(REPO, tag="v1")
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_branch(REPO, branch="next")
    assert status(caught) == 409
    api.create_branch(REPO, branch="next", exist_ok=True)
    asked = api.upload_file(path_or_fileobj=b"asked", path_in_repo="config.json", repo_id=REPO, create_pr=True)
    assert (asked.pr_num, asked.pr_revision) == (1, "refs/pr/1")
    more = api.upload_file(path_or_fileobj=b"more", path_in_repo="b", repo_id=REPO, revision="refs/pr/1")
    api.upload_file(path_or_fileobj=b"next", path_in_repo="config.json", repo_id=REPO, revision="next")
    expected = {"main": SMALL, "v1": SMALL, net: SMALL, "next": b"next", "refs/pr/1": b"asked", asked.oid: b"asked"}
    for revision, content in expected.items():
        assert Path(hf_hub_download(REPO, "config.json", revision=revision)).read_bytes() == content
        assert hub.read(REPO, revision, "config.json") == content
    refs = api.list_repo_refs(REPO, include_pull_requests=True)
    assert [ref.name for ref in refs.branches] == ["main", "next"]
    assert [(ref.ref, ref.target_commit) for ref in refs.pull_requests] == [("refs/pr/1", more.oid)]
    assert [commit.commit_id for commit in api.list_repo_commits(REPO, revision="refs/pr/1")][:3] == [
        *(more.oid, asked.oid, net),
    ]


def test_a_commit_after_another_than_its_parent_is_refused(hub: Hub, net: str) -> None:
    api, later = HfApi(), hub.add(REPO, {"config.json": b"later"})
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as caught:
        api.create_commit(REPO, [CommitOperationAdd("config.json", b"mine")], commit_message="Mine", parent_commit=net)
    assert status(caught) == 412 and hub.commits(REPO)[0].sha == later
    # Without a change the parent is not asked for.
    api.create_commit(REPO, [CommitOperationAdd("config.json", b"later")], commit_message="None", parent_commit=net)
    asked = api.create_commit(
        REPO, [CommitOperationAdd("config.json", b"mine")], commit_message="Mine", parent_commit=net[:7], create_pr=True
    )
    assert hub.commits(REPO, asked.oid)[0].parent == net
    api.create_commit(REPO, [CommitOperationAdd("config.json", b"mine")], commit_message="Mine", parent_commit=later)
    assert hub.read(REPO, "main", "config.json") == b"mine"


def test_deleting_a_file_a_folder_and_what_is_not_there(hub: Hub, net: str) -> None:
    hub.add(REPO, {"a/b/c": b"1", "a/d": b"2"})
    operations = [CommitOperationDelete("a/"), CommitOperationDelete("config.json")]
    HfApi().create_commit(REPO, operations, commit_message="Delete")
    assert HfApi().list_repo_files(REPO) == [".gitattributes", "model.safetensors"]
    with pytest.raises(EntryNotFoundError, match="doesn't exist"):
        HfApi().delete_file("config.json", REPO)


@pytest.mark.parametrize(
    "path, repo, revision, error",
    [
        ("absent", REPO, None, EntryNotFoundError),
        ("config.json", REPO, "absent", RevisionNotFoundError),
        ("config.json", REPO, "0" * 40, RevisionNotFoundError),
        ("config.json", "someone/absent", None, RepositoryNotFoundError),
    ],
)
@pytest.mark.parametrize("token", [None, False])
def test_what_is_missing(
    hub: Hub, net: str, path: str, repo: str, revision: str | None, error: type[HfHubHTTPError], token: bool | None
) -> None:
    with pytest.raises(error) as caught:
        hf_hub_download(repo, path, revision=revision, token=token)
    # Whoever is not logged in is not told whether there is such a repository.
    assert status(caught) == (401 if error is RepositoryNotFoundError and token is False else 404)


def test_a_private_repository_is_for_its_owner_alone(hub: Hub) -> None:
    hub.add(REPO, {"model.safetensors": LARGE}, private=True)
    for token, expected in ((False, 401), (hub.other_token, 404)):
        with pytest.raises(RepositoryNotFoundError) as caught:
            hf_hub_download(REPO, "model.safetensors", token=token)
        assert status(caught) == expected
        assert not HfApi().repo_exists(REPO, token=token)
    for token in (hub.read_token, None):
        assert Path(hf_hub_download(REPO, "model.safetensors", token=token)).read_bytes() == LARGE


def test_an_unknown_token_is_no_missing_repository(hub: Hub, net: str) -> None:
    for call in (HfApi(token="hf_wrong").model_info, lambda repo: hf_hub_download(repo, "a", token="hf_wrong")):
        with pytest.raises(HfHubHTTPError, match="Invalid credentials") as caught:
            call(REPO)
        assert status(caught) == 401 and not isinstance(caught.value, RepositoryNotFoundError)
    with pytest.raises(OSError, match="Invalid user token"):
        HfApi(token="hf_wrong").whoami()


def test_a_token_for_reading_writes_nothing(hub: Hub, net: str) -> None:
    api = HfApi(token=hub.read_token)
    with pytest.raises(HfHubHTTPError, match="write token") as caught:
        api.upload_file(path_or_fileobj=b"", path_in_repo="a", repo_id=REPO)
    assert status(caught) == 403 and hub.commits(REPO)[0].sha == net
    with pytest.raises(HfHubHTTPError, match="rights") as caught:
        api.create_repo("someone/other")
    assert status(caught) == 403
    api.create_repo(REPO, exist_ok=True)  # says nothing of whether it may be written
    with pytest.raises(HfHubHTTPError, match="already created") as caught:
        HfApi().create_repo(REPO)
    assert status(caught) == 409
    assert HfApi().create_repo(REPO, exist_ok=True).repo_id == REPO


def test_to_anothers_repository_only_by_a_pull_request(hub: Hub, net: str) -> None:
    api = HfApi(token=hub.other_token)
    with pytest.raises(HfHubHTTPError, match="create_pr=1") as caught:
        api.upload_file(path_or_fileobj=b"a", path_in_repo="a", repo_id=REPO)
    assert status(caught) == 403
    made = api.upload_file(path_or_fileobj=b"a" * len(LARGE), path_in_repo="a", repo_id=REPO, create_pr=True)
    assert hub.commits(REPO, made.pr_revision)[0].author == "other"


@pytest.mark.parametrize("token, expected", [(False, 401), ("hf_other", 403)])
def test_a_gated_repository_shows_itself_but_not_its_files(hub: Hub, token: str | bool, expected: int) -> None:
    hub.add(REPO, {"config.json": SMALL}, gated=True)
    assert HfApi().model_info(REPO, token=token).gated == "auto"
    with pytest.raises(GatedRepoError) as caught:
        hf_hub_download(REPO, "config.json", token=token)
    assert status(caught) == expected


@pytest.mark.parametrize(
    "card, message",
    [
        ("---\nlicense: [mit\n---\n", "flow sequence"),
        ("---\nlicense: Apache 2.0\n---\n", '"license" must be'),
        ("---\nmodel-index:\n- name: net\n  results:\n  - task: {type: t}\n---\n", r"results\[0\].dataset.type"),
    ],
)
def test_a_card_that_cannot_be_read_is_refused_before_the_upload(hub: Hub, net: str, card: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HfApi().upload_file(path_or_fileobj=card.encode(), path_in_repo="README.md", repo_id=REPO)
    assert not hub.seen("preupload")


def test_a_card_is_told_in_the_info(hub: Hub, net: str) -> None:
    card = b"---\nlicense: apache-2.0\nlibrary_name: timm\ntags: [a, b]\n---\n# Net\n"
    HfApi().upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=REPO)
    info = HfApi().model_info(REPO)
    assert (info.card_data.license, info.library_name, info.tags) == ("apache-2.0", "timm", ["a", "b"])
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        HfApi().upload_file(path_or_fileobj=b"# Net\n", path_in_repo="README.md", repo_id=REPO)


def test_bad_requests_are_told(hub: Hub, net: str) -> None:
    hub.fail("POST .*/commit/", status=400, text="as it is")
    with pytest.raises(BadRequestError, match="as it is"):
        HfApi().upload_file(path_or_fileobj=b"a", path_in_repo="a", repo_id=REPO)


@pytest.mark.parametrize("status", [403, 404, 418])
def test_other_refusals_of_a_download_are_taken_for_no_connection(hub: Hub, net: str, status: int) -> None:
    hub.fail("HEAD", status, text="as it is")
    with pytest.raises(LocalEntryNotFoundError) as caught:
        hf_hub_download(REPO, "config.json")
    assert "as it is" in str(caught.value.__cause__) and "as it is" not in str(caught.value)
