"""Images with boxes: the same data in four layouts, and every mistake with its file and line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from codegen.errors import UserError
from nestnet import datasets
from nestnet.datasets._reading.images import letterbox
from nestnet.datasets._reading.source import Source
from nestnet.datasets.boxes import coco as coco_boxes
from nestnet.datasets.boxes import csv as csv_boxes
from nestnet.datasets.boxes import voc as voc_boxes
from nestnet.datasets.boxes._annotated import Annotations
from nestnet.datasets.boxes._xml import read as read_xml

Tree = dict[str, str | bytes]

BOXES: dict[str, list[tuple[str, int, int, int, int]]] = {
    "a": [("nut", 3, 5, 13, 12), ("bolt", 0, 0, 30, 20)],
    "b": [("bolt", 7, 2, 9, 19)],
    "c": [],
    "d": [("nut", 1, 1, 29, 3)],
}
"""Of images 20 high and 30 wide; d is the test image."""
CLASSES = ("bolt", "nut")


def picture(seed: int, height: int = 20, width: int = 30) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def voc() -> Tree:
    tree: Tree = {}
    for index, (name, boxes) in enumerate(BOXES.items()):
        tree[f"JPEGImages/{name}.png"] = picture(index)
        objects = "".join(
            f"<object><name>{label}</name>\n<bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin>"
            f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>\n"
            for label, x1, y1, x2, y2 in boxes
        )
        tree[f"Annotations/{name}.xml"] = (
            f"<annotation>\n<filename>{name}.png</filename>\n{objects}</annotation>\n"
        )
    tree["ImageSets/Main/train.txt"] = "a\nb\nc\n"
    tree["ImageSets/Main/test.txt"] = "d\n"
    return tree


def coco() -> Tree:
    tree: Tree = {}
    for split, names in (("train", "abc"), ("val", "d")):
        images, annotations = [], []
        for name in names:
            tree[f"{split}/{name}.png"] = picture("abcd".index(name))
            images.append({"id": "abcd".index(name), "file_name": f"{name}.png"})
            annotations += [
                {"id": 10 * images[-1]["id"] + i, "image_id": images[-1]["id"],
                 "category_id": 3 + CLASSES.index(label), "bbox": [x1, y1, x2 - x1, y2 - y1]}
                for i, (label, x1, y1, x2, y2) in enumerate(BOXES[name])
            ]  # fmt: skip
        table = {"images": images, "annotations": annotations}
        table["categories"] = [{"id": 4, "name": "nut"}, {"id": 3, "name": "bolt"}]
        tree[f"annotations/instances_{split}.json"] = json.dumps(table)
    return tree


def yolo() -> Tree:
    tree: Tree = {"data.yaml": "path: x\nnames:  # two\n  1: nut\n  0: 'bolt'\nnc: 2\n"}
    for index, (name, boxes) in enumerate(BOXES.items()):
        split = "test" if name == "d" else "train"
        tree[f"images/{split}/{name}.png"] = picture(index)
        if boxes:
            tree[f"labels/{split}/{name}.txt"] = "".join(
                f"{CLASSES.index(label)} {(x1 + x2) / 60!r} {(y1 + y2) / 40!r} {(x2 - x1) / 30!r} "
                f"{(y2 - y1) / 20!r}\n"
                for label, x1, y1, x2, y2 in boxes
            )
    return tree


def csv() -> Tree:
    tree: Tree = {}
    for split, names in (("train", "abc"), ("test", "d")):
        lines = ["filename,class,xmin,ymin,xmax,ymax"]
        for name in names:
            tree[f"images/{name}.png"] = picture("abcd".index(name))
            lines += [",".join(map(str, (f"{name}.png", *box))) for box in BOXES[name]]
            lines += [] if BOXES[name] else [f"{name}.png,,,,,"]
        tree[f"{split}.csv"] = "\n".join(lines)
    return tree


LAYOUTS = {"voc": voc, "coco": coco, "yolo": yolo, "csv": csv}


def written(tree: Tree, folder: Path) -> Path:
    for name, content in tree.items():
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / "data"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_images_and_boxes(layout: str, tmp_path: Path) -> None:
    data = written(LAYOUTS[layout](), tmp_path)
    found = datasets.load(layout, data)
    assert found.task == datasets.task_of(layout) == "detection" and found.class_names == CLASSES
    assert found.train.images.shape == (3, 20, 30, 1) and found.test.images.shape == (1, 20, 30, 1)
    for split, names in ((found.train, "abc"), (found.test, "d")):
        for image, rows, name in zip(split.images, split.targets, names, strict=True):
            stored = np.asarray(Image.open(io.BytesIO(picture("abcd".index(name)))))
            np.testing.assert_array_equal(image[..., 0], stored)
            boxes = [[CLASSES.index(box[0]), *box[1:]] for box in BOXES[name]]
            np.testing.assert_allclose(rows[rows[:, 0] >= 0], np.reshape(boxes, (-1, 5)), atol=1e-4)
            assert set(rows[len(boxes) :, 0]) <= {-1.0}
    assert found.train.targets.dtype == np.float32 and found.train.targets.shape == (3, 2, 5)


def test_an_image_keeps_its_proportions_and_its_boxes_follow(tmp_path: Path) -> None:
    found = datasets.load("csv", written(csv(), tmp_path), (60, 60))
    assert found.train.images.shape == (3, 60, 60, 1)
    assert (found.train.images[:, :10] == 128).all() and (found.train.images[:, 50:] == 128).all()
    assert not (found.train.images[:, 10:50] == 128).all(axis=(1, 2, 3)).any()
    np.testing.assert_allclose(found.train.targets[0, 0], [1, 6, 20, 26, 34])
    image, scale = letterbox(np.zeros((7, 5, 3), np.uint8), (9, 13))
    assert image.shape == (9, 13, 3) and scale == (6 / 5, 9 / 7, 3.0, 0.0)


def test_boxes_that_become_too_small_or_stand_twice_are_left_out_and_said(tmp_path: Path) -> None:
    tree = csv()
    tree["train.csv"] = f"{tree['train.csv']}\nb.png,bolt,7,2,9,19"
    found = datasets.load("csv", written(tree, tmp_path), (10, 15))
    assert "1 box left out: they stand twice in their image" in found.notes
    small = "1 box left out: they are below 1 pixel at the size of the network's input"
    assert (small in found.notes) == ((29 - 1) / 2 < 1 or (3 - 1) / 2 < 1 or (9 - 7) / 2 < 1)
    tiny = datasets.load("csv", tmp_path / "data", (8, 12))
    assert (
        "2 boxes left out: they are below 1 pixel at the size of the network's input" in tiny.notes
    )


def test_a_box_that_reaches_out_by_a_pixel_is_cut(tmp_path: Path) -> None:
    tree = csv()
    tree["train.csv"] = str(tree["train.csv"]).replace("bolt,0,0,30,20", "bolt,-1,0,31,20.5")
    found = datasets.load("csv", written(tree, tmp_path))
    np.testing.assert_array_equal(found.train.targets[0, 1], [0, 0, 0, 30, 20])


def test_test_images_are_drawn_where_nothing_names_them(tmp_path: Path) -> None:
    tree = {k: v for k, v in voc().items() if not k.startswith("ImageSets")}
    data = written(tree, tmp_path)
    found = datasets.load("voc", data, None, 0.5)
    assert len(found.train.images) + len(found.test.images) == 4
    assert any("of 4 images are test images" in note for note in found.notes)
    again = datasets.load("voc", data, None, 0.5)
    np.testing.assert_array_equal(found.test.images, again.test.images)
    with pytest.raises(UserError, match="--test-share: the data names its test images"):
        datasets.load("csv", written(csv(), tmp_path / "other"), None, 0.5)


def test_validation_images_train_where_there_are_test_images(tmp_path: Path) -> None:
    tree = voc()
    tree["ImageSets/Main/train.txt"], tree["ImageSets/Main/val.txt"] = "a\nb\n", "c\n"
    found = datasets.load("voc", written(tree, tmp_path / "1"))
    assert len(found.train.images) == 3
    assert "1 validation images are training images" in found.notes
    del tree["ImageSets/Main/test.txt"]
    found = datasets.load("voc", written(tree, tmp_path / "2"))
    assert (len(found.train.images), len(found.test.images)) == (2, 1)
    assert "1 annotated images are in no list: not read" in found.notes


def without_splits(layout: str) -> Tree:
    """Return the data in folders that say nothing: no train and no test in their names."""
    return {
        name.replace("/train/", "/one/").replace("/test/", "/two/"): content
        for name, content in LAYOUTS[layout]().items()
        if not name.startswith("ImageSets")
    }


def test_splits_of_coco_may_have_a_year(tmp_path: Path) -> None:
    tree: Tree = {}
    for name, content in coco().items():
        for split in ("train", "val"):
            name = name.replace(f"{split}/", f"{split}2017/").replace(
                f"_{split}.", f"_{split}2017."
            )
        tree[name] = content
    found = datasets.load("coco", written(tree, tmp_path))
    assert (len(found.train.images), len(found.test.images)) == (3, 1)
    assert found.notes == ("1 validation images are test images",)


def test_splits_of_voc_may_be_folders(tmp_path: Path) -> None:
    """Each image beside its annotation, and equal names in both folders."""
    tree: Tree = {}
    for split, names in (("train", "ac"), ("valid", "b"), ("test", "d")):
        for new, name in enumerate(names):
            tree[f"{split}/{new}.png"] = voc()[f"JPEGImages/{name}.png"]
            text = str(voc()[f"Annotations/{name}.xml"])
            tree[f"{split}/{new}.xml"] = text.replace(f"{name}.png", f"{new}.png")
    found = datasets.load("voc", written(tree, tmp_path))
    assert (len(found.train.images), len(found.test.images)) == (3, 1)
    np.testing.assert_allclose(found.test.targets[0, 0], [1, 1, 1, 29, 3])
    stored = np.asarray(Image.open(io.BytesIO(picture(3))))
    np.testing.assert_array_equal(found.test.images[0, ..., 0], stored)


@pytest.mark.parametrize("said", [
    "train: images/one\nval: images/two\ntest:\n",
    "path: /else/where\ntrain: ../data/images/one/\nval: ['./images/two', nowhere]\n",
    "train: one.txt\nval:\n  - lists/two.txt\n",
])  # fmt: skip
def test_splits_of_yolo_are_what_the_yaml_file_says(said: str, tmp_path: Path) -> None:
    tree = without_splits("yolo")
    tree["data.yaml"] = f"{tree['data.yaml']}{said}"
    tree["one.txt"] = "./images/one/a.png\n/mnt/x/images/one/b.png\nimages/one/c.png\n"
    tree["lists/two.txt"] = "images\\two\\d.png\n\n"
    found = datasets.load("yolo", written(tree, tmp_path))
    assert (len(found.train.images), len(found.test.images)) == (3, 1)
    np.testing.assert_allclose(found.test.targets[0, 0], [1, 1, 1, 29, 3], atol=1e-4)
    assert found.notes[1:] == ("1 validation images are test images",)


def test_a_yaml_file_that_names_other_images_is_spoken_of(tmp_path: Path) -> None:
    def notes(said: str, folder: str) -> tuple[str, ...]:
        tree = without_splits("yolo")
        tree["data.yaml"] = f"{tree['data.yaml']}{said}"
        return datasets.load("yolo", written(tree, tmp_path / folder)).notes

    assert "data.yaml says train: gone, where no image is" in notes("train: gone\n", "1")
    missing = notes("train: images/one\nval: gone\n", "2")
    assert "data.yaml says val: gone, where no image is" in missing
    assert "1 images are in nothing that data.yaml names: not read" in missing
    both = notes("train: images\nval: images/one\n", "3")
    assert "3 images that data.yaml trains and tests on: taken as training images" in both


def sized(layout: str, width: int, height: int) -> Tree:
    """Return data whose annotations say that every image is as large as that."""
    tree = LAYOUTS[layout]()
    for name, content in tree.items():
        text = content if isinstance(content, str) else ""
        if name.endswith(".xml"):
            about = f"<size><width>{width}</width><height>{height}</height></size>"
            tree[name] = text.replace("<annotation>", f"<annotation>{about}")
        if name.endswith(".json"):
            tree[name] = text.replace(
                '"file_name"', f'"width": {width}, "height": {height}, "file_name"'
            )
        if name.endswith(".csv"):
            first, *rest = text.splitlines()
            lines = [f"{first},width,height", *(f"{line},{width},{height}" for line in rest)]
            tree[name] = "\n".join(lines)
    return tree


@pytest.mark.parametrize("layout", ["voc", "coco", "csv"])
def test_an_image_of_another_size_than_its_annotation_says_is_refused(
    layout: str, tmp_path: Path
) -> None:
    assert len(datasets.load(layout, written(sized(layout, 30, 20), tmp_path / "1")).notes) < 2
    with pytest.raises(UserError, match=r"not as large as its annotation says; got 30x20.*60x40"):
        datasets.load(layout, written(sized(layout, 60, 40), tmp_path / "2"))


def turned(tree: Tree) -> Tree:
    """Return images that are to be turned by a quarter to be upright, 30 high and 20 wide then."""
    for name, content in tree.items():
        if isinstance(content, bytes):
            file, exif = io.BytesIO(), Image.Exif()
            exif[ExifTags.Base.Orientation] = 6
            Image.open(io.BytesIO(content)).save(file, "PNG", exif=exif)
            tree[name] = file.getvalue()
    return tree


def test_boxes_are_those_of_the_upright_photo(tmp_path: Path) -> None:
    """Or nothing is: where the size says that they were drawn on the photo as it is stored."""
    upright = {"a": [("nut", 3, 5, 13, 12)], "b": [], "c": [], "d": [("nut", 1, 1, 19, 29)]}
    before = dict(BOXES)
    BOXES.update(upright)
    try:
        right, stored = turned(sized("voc", 20, 30)), turned(sized("voc", 30, 20))
    finally:
        BOXES.update(before)
    found = datasets.load("voc", written(right, tmp_path / "1"))
    assert found.train.images.shape == (3, 30, 20, 1)
    np.testing.assert_allclose(found.test.targets[0, 0], [0, 1, 1, 19, 29])
    assert any("4 photos turned upright as EXIF says; boxes are taken" in n for n in found.notes)
    with pytest.raises(
        UserError, match=r"got 20x30, turned as EXIF says.*Write the photos upright"
    ):
        datasets.load("voc", written(stored, tmp_path / "2"))


def test_boxes_in_shares_and_boxes_that_all_vanish_are_refused(tmp_path: Path) -> None:
    rows = "image,class,xmin,ymin,xmax,ymax\na.png,nut,0.1,0.2,0.5,1.0\nb.png,nut,0,0,1,1"
    tree: Tree = {"a.png": picture(0), "b.png": picture(1), "all.csv": rows}
    with pytest.raises(UserError, match=r"all\.csv:2: boxes in shares of their image"):
        datasets.load("csv", written(tree, tmp_path / "1"))
    tree["all.csv"] = rows.replace("0.1,0.2,0.5,1.0", "3,4,7,8")
    with pytest.raises(UserError, match="no box is left; got 2 boxes left out: they are below"):
        datasets.load("csv", written(tree, tmp_path / "2"), (4, 6))


@pytest.mark.parametrize("layout", ["voc", "coco"])
def test_boxes_that_need_not_be_found_are_told_apart(layout: str, tmp_path: Path) -> None:
    tree = LAYOUTS[layout]()
    for name, content in tree.items():
        if name.endswith(".xml"):  # every nut
            text = str(content).replace("nut</name>", "nut</name><difficult>1</difficult>")
            tree[name] = text.replace(
                "bolt</name>", "bolt</name><difficult>Unspecified</difficult>"
            )
        if name.endswith(".json"):
            tree[name] = str(content).replace('"category_id": 4', '"iscrowd": 1, "category_id": 4')
    found = datasets.load(layout, written(tree, tmp_path))
    assert sorted(found.train.targets[0, :, 0].tolist()) == [-3, 0]
    np.testing.assert_allclose(found.test.targets[0, 0], [-3, 1, 1, 29, 3])
    assert "2 boxes of crowds, or marked difficult, need not be found" in found.notes


def change(layout: str, name: str, before: str, after: str) -> Tree:
    tree = LAYOUTS[layout]()
    text = tree[name]
    assert isinstance(text, str) and before in text
    tree[name] = text.replace(before, after, 1)
    return tree


TRAIN, VAL = "annotations/instances_train.json", "annotations/instances_val.json"
WRONG: list[tuple[str, str, str, str, str]] = [
    ("voc", "Annotations/a.xml", "<xmax>30", "<xmax>32",
     r"a\.xml:5: a box outside its image; got 0, 0, 32, 20"),
    ("voc", "Annotations/b.xml", "<xmax>9", "<xmax>7",
     r"b\.xml:3: a box without area; got 7, 2, 7, 19"),
    ("voc", "Annotations/b.xml", "<xmax>9", "<xmax>nan",
     r"b\.xml:3: an object without name or box"),
    ("voc", "Annotations/b.xml", "</object>", "",
     r"b\.xml:5: not readable XML; got mismatched tag"),
    ("voc", "Annotations/b.xml", "<annotation>", "<!DOCTYPE a [<!ENTITY b 'c'>]>\n<annotation>",
     r"b\.xml:1: a document type"),
    ("voc", "Annotations/b.xml", "b.png", "e.png", ""),
    ("voc", "ImageSets/Main/train.txt", "b\n", "a\n",
     r"train\.txt:2: an image that is listed twice; got a"),
    ("voc", "ImageSets/Main/train.txt", "b\n", "x\n",
     r"train\.txt:2: an image without an annotation; got x"),
    ("coco", TRAIN, "[3, 5, 10, 7]", "[3, 5, 10, 17]",
     r"train\.json: annotation 0: a box outside its image; got 3, 5, 13, 22"),
    ("coco", TRAIN, "[3, 5, 10, 7]", "[3, 5, -1, 7]",
     r"annotation 0: a box without area"),
    ("coco", TRAIN, "[3, 5, 10, 7]", "[3, 5, 10]",
     r"annotation 0: no box; got \[3, 5, 10\]"),
    ("coco", TRAIN, '"category_id": 4', '"category_id": 5',
     r"annotation 0: a class that is not in the list; got 5, expected 3 bolt, 4 nut"),
    ("coco", TRAIN, '"image_id": 0', '"image_id": 7',
     r"annotation 0: an image that is not in the list; got 7"),
    ("coco", TRAIN, '{"id": 1, "file', '{"id": 0, "file',
     r"image 0: an id that occurs twice; got b\.png"),
    ("coco", TRAIN, '{"id": 1, "image', '{"id": 0, "image',
     r"annotation 0: an id that occurs twice"),
    ("coco", TRAIN, "a.png", "z.png", r"z\.png: missing image"),
    ("coco", TRAIN, '"images": [', '\n\n"images": [,',
     r"train\.json:3: not readable JSON"),
    ("coco", VAL, '"nut"', '"nuts"',
     r"val\.json: other categories than in another file"),
    ("yolo", "labels/train/a.txt", "0 0.5", "2 0.5",
     r"a\.txt:2: a class that is not in the list; got 2, expected 0\.\.1: bolt, nut"),
    ("yolo", "labels/train/a.txt", "0 0.5", "0 0.6", r"a\.txt:2: a box outside its image"),
    ("yolo", "labels/train/a.txt", "0 0.5 0.5", "0 0.5",
     r"a\.txt:2: a line that is no box; got 0 0\.5 1\.0 1\.0"),
    ("yolo", "data.yaml", "nut", "bolt", r"data\.yaml: no list of different class names"),
    ("yolo", "data.yaml", "nc: 2", "nc: 3",
     r"data\.yaml: another number of class names than nc says; got 2: bolt, nut, expected nc: 3"),
    ("csv", "train.csv", "b.png,bolt,7", "b.png,bolt,x",
     r"train\.csv:4: a line that is no box; got b\.png,bolt,x,2,9,19"),
    ("csv", "train.csv", "b.png,bolt,7,2,9", "b.png,bolt,7,2,5",
     r"train\.csv:4: a box without area"),
    ("csv", "train.csv", "b.png", "e.png", r"e\.png: missing image"),
    ("csv", "test.csv", "d.png", "a.png", r"a\.png: annotated twice; got test and train"),
]  # fmt: skip


@pytest.mark.parametrize(("layout", "name", "before", "after", "message"), WRONG)
def test_a_mistake_is_named_with_its_place(
    layout: str, name: str, before: str, after: str, message: str, tmp_path: Path
) -> None:
    data = written(change(layout, name, before, after), tmp_path)
    if not message:  # the image of the annotation's own name is taken
        assert len(datasets.load(layout, data).train.images) == 3
        return
    with pytest.raises(UserError, match=message) as caught:
        datasets.load(layout, data)
    assert str(data) in caught.value.where


XML = "<annotation><filename>1.png</filename></annotation>"
LINES = "image,class,xmin,ymin,xmax,ymax\n"


def coco_of(file: str) -> str:
    return json.dumps(
        {"images": [{"id": 1, "file_name": file}], "annotations": [], "categories": []}
    )


@pytest.mark.parametrize(
    ("read", "near", "said", "images", "wanted"),
    [
        (csv_boxes.read, "boxes.csv", LINES + "b/1.png", "ab/1.png b/1.png", "b/1.png"),
        (csv_boxes.read, "train.csv", LINES + "1.png", "test/1.png train/1.png", "train/1.png"),
        (csv_boxes.read, "x/boxes.csv", LINES + "1.png", "w/1.png x/y/1.png", "x/y/1.png"),
        (coco_boxes.read, "labels.json", coco_of("b/1.png"), "ab/1.png i/b/1.png", "i/b/1.png"),
        (coco_boxes.read, "a/train.json", coco_of("1.png"), "test/1.png train/1.png",
         "train/1.png"),
        (voc_boxes.read, "train/Annotations/1.xml", XML, "train/JPEGImages/1.png val/1.png",
         "train/JPEGImages/1.png"),
        (voc_boxes.read, "a/1.xml", XML.replace("1.png", "2.jpg"), "a/1.png b/1.png", "a/1.png"),
    ],
)  # fmt: skip
def test_an_annotation_is_of_the_image_it_names(
    read: Callable[[Source], Annotations], near: str, said: str, images: str, wanted: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    tree: Tree = {near: said, **dict.fromkeys(images.split(), picture(0))}
    (found,) = read(Source(written(tree, tmp_path))).images
    assert found.image == wanted


def test_a_name_of_several_images_is_refused(tmp_path: Path) -> None:
    tree: Tree = {"boxes.csv": LINES + "1.png", "a/1.png": picture(0), "b/1.png": picture(1)}
    message = r"boxes\.csv:2: several images of one name; got a/1\.png, b/1\.png"
    with pytest.raises(UserError, match=message):
        datasets.load("csv", written(tree, tmp_path))


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    tree = yolo()
    tree["images/train/a.bmp"] = tree["images/train/a.png"]
    with pytest.raises(UserError, match=r"a\.bmp: two images of one name; got .*a\.png"):
        datasets.load("yolo", written(tree, tmp_path))


def test_labels_without_an_image_are_refused(tmp_path: Path) -> None:
    tree = yolo()
    del tree["images/train/b.png"]
    with pytest.raises(UserError, match=r"labels/train/b\.txt: missing image"):
        datasets.load("yolo", written(tree, tmp_path))


def test_one_message_names_every_place_of_a_mistake(tmp_path: Path) -> None:
    tree = csv()
    tree["train.csv"] = str(tree["train.csv"]).replace("nut,3,5", "nut,300,5").replace(
        "bolt,7,2,9", "bolt,7,2,7").replace("bolt,0,0,30", "bolt,0,0,0")  # fmt: skip
    with pytest.raises(UserError, match="a box without area") as caught:
        datasets.load("csv", written(tree, tmp_path))
    assert "train.csv:3: 0, 0, 0, 20" in str(caught.value)
    assert "train.csv:4: 7, 2, 7, 19" in str(caught.value)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_another_layout_is_refused(layout: str, tmp_path: Path) -> None:
    data = written({"a/b.png": picture(0), "notes.md": "x"}, tmp_path)
    with pytest.raises(UserError, match=r"no annotations|layout of YOLO|no table of boxes"):
        datasets.load(layout, data)
    with pytest.raises(UserError, match=f"the data set {layout} needs a place"):
        datasets.load(layout)


@pytest.mark.parametrize("text", [
    "names: [bolt, 'nut']", 'names: ["bolt",\n "nut"]\nnc: 2', "names:\n- bolt\n- nut",
    "names: {0: bolt, 1: nut}", "x: 1\nnames:\n  - bolt # a\n\n  - nut\ntrain: y",
])  # fmt: skip
def test_names_of_a_yaml_file(text: str, tmp_path: Path) -> None:
    tree = {**yolo(), "data.yaml": text}
    assert datasets.load("yolo", written(tree, tmp_path)).class_names == CLASSES


@pytest.mark.parametrize(("text", "names"), [
    ("names: ['big, bolt', \"nut: \\\"m\\\"\"]", ("big, bolt", 'nut: "m"')),
    ("names: {0: 'bob''s', 1: b#c} # two", ("bob's", "b#c")),
    ("names:\n  - 'a: # b'\n  - \"c\" # d", ("a: # b", "c")),
])  # fmt: skip
def test_names_may_be_quoted(text: str, names: tuple[str, ...], tmp_path: Path) -> None:
    tree = {**yolo(), "data.yaml": text}
    assert datasets.load("yolo", written(tree, tmp_path)).class_names == names


def test_xml_knows_lines_and_joins_text() -> None:
    root = read_xml("x", b"<a>\n<b>1&amp;2</b><b>\n3</b>\n<c/></a>")
    assert [b.text.strip() for b in root.all("b")] == ["1&2", "3"]
    assert root.word("b") == "1&2" and root.word("d") == "" and root.children[2].line == 4


@pytest.mark.parametrize(("layout", "name", "content", "held"), [
    ("coco", TRAIN, '{"images": [], "annotations": []}', "images, annotations"),
    ("coco", TRAIN, "[]", "list"),
    ("csv", "train.csv", "", "nothing"),
    ("csv", "test.csv", "picture,box\n1,2", "picture, box"),
])  # fmt: skip
def test_a_file_of_a_whole_split_is_not_passed_over(
    layout: str, name: str, content: str, held: str, tmp_path: Path
) -> None:
    tree = {**LAYOUTS[layout](), name: content}
    message = rf"{name}: holds no boxes, and no other file names those of .*got {held},"
    with pytest.raises(UserError, match=message):
        datasets.load(layout, written(tree, tmp_path / "1"))
    tree = {**LAYOUTS[layout](), f"about.{layout}": content, "about.json": "[]", "about.csv": ""}
    assert len(datasets.load(layout, written(tree, tmp_path / "2")).train.images) == 3


def test_other_annotations_of_the_same_images_are_left_to_others(tmp_path: Path) -> None:
    """As in the archive of COCO: captions have no categories, key points those of one class."""
    tree = coco()
    people = json.loads(str(tree[TRAIN])) | {"categories": [{"id": 1, "name": "person"}]}
    tree["annotations/person_keypoints_train.json"] = json.dumps(people)
    tree["annotations/captions_train.json"] = '{"images": [], "annotations": []}'
    found = datasets.load("coco", written(tree, tmp_path))
    assert found.class_names == CLASSES and len(found.train.images) == 3


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_tables_may_have_other_delimiters(delimiter: str, tmp_path: Path) -> None:
    tree = csv()
    for name in ("train.csv", "test.csv"):
        tree[name] = str(tree[name]).replace(",", delimiter)
    found = datasets.load("csv", written(tree, tmp_path))
    np.testing.assert_allclose(found.train.targets[0, 0], [1, 3, 5, 13, 12])


def test_decimal_commas_are_not_taken_for_more_cells(tmp_path: Path) -> None:
    tree = change("csv", "train.csv", "b.png,bolt,7,2,9,19", "b.png,bolt,7,0,2,0,9,5,19,0")
    with pytest.raises(UserError, match=r"train\.csv:4: more cells than the first line names"):
        datasets.load("csv", written(tree, tmp_path))


def test_marks_at_the_beginning_of_text_files_are_no_text(tmp_path: Path) -> None:
    for layout in LAYOUTS:
        tree = {
            name: content if isinstance(content, bytes) else "\ufeff" + content
            for name, content in LAYOUTS[layout]().items()
        }
        found = datasets.load(layout, written(tree, tmp_path / layout))
        assert len(found.train.images) == 3 and found.class_names == CLASSES


def test_images_without_labels_are_counted_and_polygons_called_so(tmp_path: Path) -> None:
    bare = "1 of 4 images have no file of labels: taken for images without box"
    assert bare in datasets.load("yolo", written(yolo(), tmp_path / "1")).notes
    tree: Tree = {**yolo(), "labels/train/c.txt": "", "labels/train/classes.txt": "bolt\nnut\n"}
    notes = datasets.load("yolo", written(tree, tmp_path / "2")).notes
    assert not any("no file of labels" in note for note in notes)
    tree["labels/train/c.txt"] = "0 0.1 0.1 0.5 0.1 0.5 0.5"
    with pytest.raises(UserError, match=r"c\.txt:1: a polygon, not a box"):
        datasets.load("yolo", written(tree, tmp_path / "3"))
