"""Public data: fetched once, checked, read out of wheels; and what is wrong with a file is said."""

from __future__ import annotations

import hashlib
import io
import subprocess
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from reclift.flows import public_movielens, public_open_bandit
from reclift.flows.public_data import MOVIELENS, OPEN_BANDIT, PublicDataError, Source, fetch
from reclift.flows.public_open_bandit import read_items, read_log

BANDIT_HEADER = (
    ",timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_1,user_feature_2,user_feature_3,"
    "user-item_affinity_0"
)
LATER = "0,2019-11-24 00:00:17.004101+00:00,79,2,0,0.087125,a,b,c,d,0.0"
EARLIER = "1,2019-11-24 00:00:16+00:00,14,3,1,0.5,e,f,g,h,1.0"
ITEMS = ",item_id,item_feature_0,item_feature_1,item_feature_2,item_feature_3\n0,79,-0.5,x,y,z\n1,14,1.25,x,y,w\n"


class Pip:
    """Stands in for pip: puts a file where it is asked to, or fails as pip does."""

    def __init__(self, content: bytes | None, error: str = "") -> None:
        self.content = content
        self.error = error
        self.calls: list[Sequence[str]] = []

    def __call__(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        self.calls.append(arguments)
        if self.content is not None:
            package, _, version = arguments[-1].partition("==")
            folder = Path(arguments[arguments.index("--dest") + 1])
            (folder / f"{package}-{version}-py3-none-any.whl").write_bytes(self.content)
        return subprocess.CompletedProcess(arguments, 1 if self.error else 0, "", self.error)


def source_of(content: bytes) -> Source:
    return replace(OPEN_BANDIT, sha256=hashlib.sha256(content).hexdigest())


def make_zip(path: Path, files: Mapping[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def bandit_csv(*rows: str) -> io.BytesIO:
    return io.BytesIO("\n".join([BANDIT_HEADER, *rows, ""]).encode())


def movielens_files(**changed: str) -> dict[str, str]:
    files = {
        "item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "1\tGodfather, The\t1972\tAction Crime\n2\tC'est arrivé près de chez vous\t1992\tComedy\n"
        "3\tunkonwn\tunkonwn\tunknown\n4\tBlue Angel, The (Blaue Engel, Der)\t1930\tDrama\n",
        "user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n7\t24\tF\twriter\t123\n",
        "inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
        "7\t2\t4\t30\n7\t1\t5\t10\n7\t3\t3\t10\n7\t4\t1\t20\n",
    }
    return {f"recbole/dataset_example/ml-100k/ml-100k.{name}": text for name, text in (files | changed).items()}


class TestFetch:
    def test_asks_pip_once_and_keeps_the_wheel(self, tmp_path: Path) -> None:
        pip = Pip(b"wheel")
        first = fetch(source_of(b"wheel"), tmp_path / "downloads", pip)
        assert first.read_bytes() == b"wheel"
        assert fetch(source_of(b"wheel"), tmp_path / "downloads", pip) == first
        assert len(pip.calls) == 1
        assert "--no-deps" in pip.calls[0]
        assert [path.name for path in first.parent.iterdir()] == [first.name]

    def test_a_damaged_copy_is_fetched_again(self, tmp_path: Path) -> None:
        (tmp_path / OPEN_BANDIT.filename).write_bytes(b"half a wh")
        assert fetch(source_of(b"wheel"), tmp_path, Pip(b"wheel")).read_bytes() == b"wheel"

    def test_without_network_it_says_what_to_do(self, tmp_path: Path) -> None:
        pip = Pip(None, "WARNING: Retrying\nERROR: No matching distribution found for obp==0.4.1\n")
        with pytest.raises(PublicDataError, match="No matching distribution") as caught:
            fetch(OPEN_BANDIT, tmp_path, pip)
        for part in ("obp==0.4.1", "try again", str(tmp_path), OPEN_BANDIT.filename):
            assert part in str(caught.value)
        assert not list(tmp_path.iterdir())

    def test_another_file_under_the_name_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(PublicDataError, match=r"SHA-256.*expected"):
            fetch(OPEN_BANDIT, tmp_path, Pip(b"something else"))
        assert not list(tmp_path.iterdir())


class TestOpenBandit:
    def test_rows_come_in_the_order_of_time(self) -> None:
        log = read_log(bandit_csv(LATER, EARLIER), "men", "bts")
        assert len(log) == 2
        assert log.item_ids.tolist() == ["14", "79"]
        assert log.times.tolist() == pytest.approx([1574553616.0, 1574553617.004101], abs=1e-6)
        assert log.positions.tolist() == [3, 2]
        assert log.clicks.tolist() == [True, False]
        assert log.propensities.tolist() == [0.5, 0.087125]
        assert log.attributes(1) == {f"user_feature_{i}": value for i, value in enumerate("abcd")}

    def test_each_row_is_a_unit_with_a_lasting_name(self) -> None:
        log = read_log(bandit_csv(LATER, EARLIER), "men", "bts")
        assert [log.unit_id(row) for row in range(2)] == ["zozo-men-bts-00000", "zozo-men-bts-00001"]

    @pytest.mark.parametrize(
        ("row", "complaint"),
        [
            (LATER.replace(",79,2,", ",79,4,"), "position='4' in row 1: must be 1 to 3"),
            (LATER.replace(",2,0,", ",2,7,"), "click='7' in row 1: must be 0 or 1"),
            (LATER.replace("0.087125", "0"), "propensity_score='0' in row 1"),
            (LATER.replace("0.087125", "often"), "propensity_score: could not convert"),
            (LATER.replace("2019-11-24", "yesterday"), "yesterday"),
        ],
    )
    def test_what_is_not_as_published_is_named(self, row: str, complaint: str) -> None:
        with pytest.raises(PublicDataError) as caught:
            read_log(bandit_csv(row), "men", "bts")
        assert complaint in str(caught.value)
        assert "bts/men" in str(caught.value)

    def test_a_missing_column_is_named(self) -> None:
        with pytest.raises(PublicDataError, match="propensity_score"):
            read_log(io.BytesIO(b"timestamp,item_id,position,click\n"), "men", "bts")

    def test_items_have_their_features(self) -> None:
        first, second = read_items(io.BytesIO(ITEMS.encode()))
        assert (first.item_id, second.item_id) == ("79", "14")
        assert first.attributes == {
            "item_feature_0": -0.5,
            "item_feature_1": "x",
            "item_feature_2": "y",
            "item_feature_3": "z",
        }

    def test_the_wheel_is_read_campaign_by_campaign(self, tmp_path: Path) -> None:
        folder = "obp/dataset/obd"
        files = {f"{folder}/{policy}/men/men.csv": bandit_csv(LATER).read().decode() for policy in ("random", "bts")}
        wheel = make_zip(tmp_path / "obp.whl", files | {f"{folder}/random/men/item_context.csv": ITEMS})
        ((items, logs),) = public_open_bandit.read_wheel(wheel, ("men",))
        assert len(items) == 2
        assert [(log.campaign, log.policy) for log in logs] == [("men", "random"), ("men", "bts")]

    def test_another_wheel_is_refused(self, tmp_path: Path) -> None:
        wheel = make_zip(tmp_path / "other.whl", {"other.txt": ""})
        with pytest.raises(PublicDataError, match=r"item_context\.csv"):
            list(public_open_bandit.read_wheel(wheel))


class TestMovieLens:
    def read(self, tmp_path: Path, **changed: str) -> public_movielens.MovieLens:
        return public_movielens.read_wheel(make_zip(tmp_path / "recbole.whl", movielens_files(**changed)))

    def test_films_have_natural_titles_years_and_genres(self, tmp_path: Path) -> None:
        films = self.read(tmp_path).films
        assert [film.title for film in films] == [
            "The Godfather",
            "C'est arrivé près de chez vous",
            "unkonwn",
            "The Blue Angel (Der Blaue Engel)",
        ]
        assert [film.year for film in films] == [1972, 1992, None, 1930]
        assert [film.genres for film in films] == [("Action", "Crime"), ("Comedy",), (), ("Drama",)]

    def test_ratings_come_in_the_order_of_time_ties_by_item(self, tmp_path: Path) -> None:
        ratings = self.read(tmp_path).ratings
        assert ratings.item_ids.tolist() == ["1", "3", "4", "2"]
        assert ratings.values.tolist() == [5, 3, 1, 4]
        assert ratings.times.tolist() == [10, 10, 20, 30]

    def test_people_have_attributes(self, tmp_path: Path) -> None:
        assert self.read(tmp_path).people == {"7": {"age": 24, "gender": "F", "occupation": "writer"}}

    def test_the_split_is_by_the_clock_and_keeps_a_second_together(self, tmp_path: Path) -> None:
        ratings = self.read(tmp_path).ratings
        earlier, later = ratings.split(0.5)
        assert (earlier.times.tolist(), later.times.tolist()) == ([10, 10], [20, 30])
        earlier, later = ratings.split(0.3)
        assert (earlier.times.tolist(), later.times.tolist()) == ([], [10, 10, 20, 30])
        with pytest.raises(ValueError, match=r"share=1\.5"):
            ratings.split(1.5)

    @pytest.mark.parametrize(
        ("file", "text", "complaint"),
        [
            (
                "inter",
                "user_id:token\titem_id:token\trating:float\ttimestamp:float\n7\t1\tfine\t1\n",
                "line 2: rating='fine'",
            ),
            (
                "inter",
                "user_id:token\titem_id:token\trating:float\ttimestamp:float\n7\t1\t6\t1\n",
                "rating='6': must be 1 to 5",
            ),
            ("inter", "user_id:token\titem_id:token\trating:float\ttimestamp:float\n7\t99\t5\t1\n", "item_id='99'"),
            ("inter", "user_id:token\titem_id:token\trating:float\ttimestamp:float\n7\t1\t5\n", "3 fields: must be 4"),
            ("item", "", "is empty"),
        ],
    )
    def test_what_is_wrong_is_named_with_its_place(self, tmp_path: Path, file: str, text: str, complaint: str) -> None:
        with pytest.raises(PublicDataError) as caught:
            self.read(tmp_path, **{file: text})
        assert complaint in str(caught.value)

    def test_sources_say_whose_data_it_is(self) -> None:
        for source in (OPEN_BANDIT, MOVIELENS):
            assert source.citation
            assert source.terms
