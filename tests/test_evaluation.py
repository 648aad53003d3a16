"""The evaluation protocol, the table, the reference task's record, and the command line."""

import json
import time
import weakref
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import nn
from torch.utils.data import IterableDataset

from ippy import __main__ as command_line
from ippy.base.paths import data_dir
from ippy.commands import evaluate as evaluate_command
from ippy.data import MayoDataset
from ippy.models import NAMES, build
from ippy.models.vit import TransformerEncoderBlock
from ippy.problems import Tikhonov, TotalVariation, motion_deblurring
from ippy.quality import evaluate, measure_one_by_one, restore, summarise
from ippy.quality.cost import gflop, time_and_memory
from ippy.quality.inference import in_evaluation_mode
from ippy.train import Recipe
from ippy.train.course import train_model
from ippy.weights import manifest, read_manifest, save_checkpoint

from .callers import CALLERS_STATES, unchanged, unchanged_world


@pytest.fixture
def slices():
    return torch.rand(3, 1, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(slices, tmp_path):
    """The slices as files."""
    (tmp_path / "P").mkdir()
    for number, x in enumerate(slices):
        pixels = (x[0].numpy() * 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "P" / f"{number}.png")
    return tmp_path


class Endless(IterableDataset):
    """Slices that come one after the other, without a number."""

    def __iter__(self):
        yield torch.zeros(1, 64, 64)


class Brighter(nn.Module):
    def forward(self, x):
        return x + 0.5


def test_the_published_protocol(slices):
    table = evaluate({"Brighter": Brighter()}, slices, motion_deblurring(), first=2)
    assert list(table.columns) == ["model", "image", "mse", "psnr", "ssim"]
    assert list(table["model"]) == ["Measurement"] * 2 + ["Brighter"] * 2
    assert list(table["image"]) == [0, 1, 0, 1]

    problem, generator = motion_deblurring(), torch.Generator().manual_seed(123)
    for number in range(2):  # the protocol written out: one generator, image by image, clamped
        x = slices[number : number + 1]
        x_hat = (problem.measure(x, generator) + 0.5).clamp(0, 1)
        row = table[(table["model"] == "Brighter") & (table["image"] == number)].iloc[0]
        a, b = x[0, 0].numpy(), x_hat[0, 0].numpy()
        assert row["mse"] == pytest.approx(float(np.mean((a - b) ** 2)), rel=1e-5)
        assert row["psnr"] == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1), abs=1e-4)
        assert row["ssim"] == pytest.approx(structural_similarity(a, b, data_range=1), abs=1e-5)


def test_summary_and_measurements(slices):
    table = evaluate({}, slices, motion_deblurring())
    summary = summarise(table)
    assert list(summary.index) == ["Measurement"]
    assert summary.loc["Measurement", "psnr"] == pytest.approx(table["psnr"].mean())
    y = measure_one_by_one(slices, motion_deblurring())
    again = measure_one_by_one(list(slices), motion_deblurring())
    assert y.equal(again) and y.shape == slices.shape


def test_the_same_evaluation_gives_the_same_table_to_the_last_digit(slices, folder):
    def table(images, **models):
        return evaluate(models, images, motion_deblurring(), device=torch.device("cpu"))

    cnn, unet = build("CNN", seed=1), build("UNet", seed=1)
    first = table(slices, CNN=cnn, UNet=unet)
    torch.rand(7)  # the global generator has no part in it
    pd.testing.assert_frame_equal(first, table(slices, CNN=cnn, UNet=unet), check_exact=True)

    alone = first[first["model"] != "CNN"].reset_index(drop=True)  # nor has another model
    pd.testing.assert_frame_equal(alone, table(slices, UNet=unet), check_exact=True)

    # nor has it a part whether slices come from files, from the cache or from memory
    kept, read = MayoDataset(folder, 64), MayoDataset(folder, 64, cache_bytes=0)
    from_files = table(read, CNN=cnn)
    for _ in range(2):  # from the files, then from the cache
        pd.testing.assert_frame_equal(from_files, table(kept, CNN=cnn), check_exact=True)
    held = torch.stack(list(read))
    pd.testing.assert_frame_equal(from_files, table(held, CNN=cnn), check_exact=True)


def test_slices_are_held_one_at_a_time(slices):
    held = []

    class Slices:
        def __len__(self):
            return 12

        def __getitem__(self, number):
            x = slices[number % 3].clone()
            held.append(weakref.ref(x))
            return x

    class Watching(nn.Module):
        def forward(self, y):
            most.append(sum(x() is not None for x in held))
            return y

    most = []
    table = evaluate({"a": Watching(), "b": Watching()}, Slices(), motion_deblurring())
    assert len(held) == 12 and len(most) == 24 and max(most) <= 2
    assert list(table["image"]) == 3 * [*range(12)]


class Answers(nn.Module):
    """Returns what it was made with, or that of the measurement."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, y):
        return self.answer(y) if callable(self.answer) else self.answer


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda y: (y, None), r"a tuple of 2: Tensor, NoneType; .*`return model\(y\)\[0\]`"),
        (lambda y: [None, y], r"a list of 2: NoneType, Tensor; .*`return model\(y\)\[1\]`"),
        (
            lambda y: {"image": y},
            r"a dict with the keys \['image'\]; .*`return model\(y\)\['image'\]`",
        ),
        (None, "None; .*has to end in `return x_hat`"),
        (lambda y: y[0, 0].numpy(), "an? ndarray; .*`return x_hat`"),
        (lambda y: (), r"a tuple of 0: ; .*`return x_hat`"),
    ],
    ids=["tuple", "list", "dict", "None", "array", "empty"],
)
def test_a_model_that_returns_no_tensor_is_named(slices, answer, says):
    with pytest.raises(TypeError, match=rf"^models\['mine'\] on images\[0\]: it returns {says}"):
        evaluate({"mine": Answers(answer)}, slices, motion_deblurring())
    with pytest.raises(TypeError, match=f"^model returns {says}"):
        restore(Answers(answer), slices)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda y: y[..., 1:], "maps .* to .*; expected one that keeps batch"),
        (lambda y: y[0], "what it returns has shape"),
        (lambda y: y / 0, "what it returns holds"),
    ],
)
def test_a_model_that_returns_other_images_is_named(slices, answer, says):
    with pytest.raises(ValueError, match=rf"models\['mine'\] on images\[0\]: .*{says}"):
        evaluate({"mine": Answers(answer)}, slices, motion_deblurring())


def test_an_error_inside_a_model_keeps_its_type_and_says_whose_it_is(slices):
    with pytest.raises(RuntimeError, match="channels") as caught:
        evaluate({"mine": nn.Conv2d(3, 3, 3)}, slices, motion_deblurring())
    assert caught.value.__notes__ == ["in models['mine'] on images[0]"]


def test_slices_of_any_floating_point_type_are_taken_in_float32(slices):
    cnn = build("CNN", seed=0)
    expected = evaluate({"CNN": cnn}, slices, motion_deblurring(), first=2)
    for images in (slices.double(), list(slices.double()), [slices[0], slices[1].double()]):
        found = evaluate({"CNN": cnn}, images, motion_deblurring(), first=2)
        pd.testing.assert_frame_equal(found, expected, check_exact=True)
    y = measure_one_by_one(slices, motion_deblurring())
    again = measure_one_by_one(slices.double(), motion_deblurring())
    assert again.equal(y) and again.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_runs_in_its_own_type(slices, dtype):
    model = build("ResCNN", seed=0)  # its input is added: what it returns is not clamped away
    expected = evaluate({"it": model}, slices, motion_deblurring(), first=1)
    found = evaluate({"it": model.to(dtype)}, slices, motion_deblurring(), first=1)
    assert next(model.parameters()).dtype == dtype
    assert found["psnr"].tolist() == pytest.approx(expected["psnr"].tolist(), abs=0.1)


def test_numbers_and_names_of_numpy_are_taken(slices):
    expected = evaluate({}, slices, motion_deblurring(), metrics=["psnr", "mse"], first=2, seed=5)
    names = np.array(["psnr", "mse"])
    for metrics in (names, list(names), tuple(names), {"psnr": 1, "mse": 2}):
        found = evaluate(
            {},
            slices,
            motion_deblurring(np.float64(0.01)),
            metrics=metrics,
            first=np.int64(2),
            seed=np.int32(5),
            progress=np.False_,
        )
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"images": np.zeros((2, 1, 64, 64))}, r"images is an? ndarray; .*torch\.from_numpy"),
        ({"images": [np.zeros((1, 64, 64))]}, r"images\[0\] is an? ndarray; .*from_numpy"),
        ({"images": "Mayo/test"}, "images is a str"),
        ({"images": Endless()}, "images is an Endless; .* a data set of slices .* with a length"),
        ({"images": [torch.zeros(1, 64, 64).byte()]}, r"images\[0\] holds torch\.uint8"),
        ({"metrics": "psnr"}, r"metrics is a str; expected a list, e\.g\. \['psnr'\]"),
        ({"models": [Brighter()]}, "models is a list; expected a dict"),
        ({"models": {"mine": Brighter}}, r"models\['mine'\] is a type; .*torch\.nn\.Module"),
        ({"problem": 0.01}, r"problem is a float; .*motion_deblurring\(\)"),
    ],
)
def test_a_wrong_type_is_named_with_what_would_do(slices, arguments, says):
    with pytest.raises(TypeError, match=says):
        evaluate(**{"models": {}, "images": slices, "problem": motion_deblurring()} | arguments)


class Frozen(nn.Module):
    """A network in training whose batch norm is frozen, with all that a caller may care for."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1).to(memory_format=torch.channels_last)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.last = nn.Conv2d(4, 1, 3, padding=1)
        self.norm.eval()
        self.last.requires_grad_(False)
        self.seen = []
        self.conv.register_forward_hook(lambda module, args, out: self.seen.append(module.training))

    def forward(self, y):
        change = self.last(self.act(self.norm(self.conv(y))))
        return y + change if self.training else y.add_(change)


def described(model):
    tensors = dict([*model.named_parameters(), *model.named_buffers()])
    return {
        "modes": [module.training for module in model.modules()],
        "tensors": {name: id(tensor) for name, tensor in tensors.items()},
        "memory": {name: tensor.data_ptr() for name, tensor in tensors.items()},
        "strides": {name: tensor.stride() for name, tensor in tensors.items()},
        "values": {name: tensor.tolist() for name, tensor in tensors.items()},
        "kinds": {name: (t.dtype, t.device, t.requires_grad) for name, t in tensors.items()},
        "gradients": {name: id(p.grad) for name, p in model.named_parameters()},
        "hooks": [len(module._forward_hooks) for module in model.modules()],
    }


@pytest.mark.parametrize("use", ["evaluate", "restore", "tiles", "error"])
def test_a_model_comes_back_as_it_was(slices, use):
    model, failing = Frozen(), Answers(lambda y: 1 / 0)
    model(slices[:1].clone()).sum().backward()
    before, gradient = described(model), model.conv.weight.grad.clone()
    kept = slices.clone()
    with unchanged_world(), unchanged(slices):
        if use == "evaluate":
            evaluate({"a": model, "b": model}, slices, motion_deblurring())
        elif use == "error":
            with pytest.raises(ZeroDivisionError):
                evaluate({"a": model, "b": failing}, slices, motion_deblurring())
        else:
            restore(model, slices, tile=64 if use == "tiles" else None)
    assert not any(model.seen[1:]) and len(model.seen) > 1  # it ran in evaluation mode
    assert described(model) == before and model.conv.weight.grad.equal(gradient)
    assert failing.training and slices.equal(kept)


def test_a_model_that_was_moved_is_given_its_own_tensors_back():
    model = Frozen()
    model(torch.rand(1, 1, 8, 8)).sum().backward()
    before, gradient = described(model), model.conv.weight.grad.clone()
    with in_evaluation_mode(model, torch.device("meta")):
        assert {tensor.device.type for tensor in model.state_dict().values()} == {"meta"}
    assert described(model) == before and model.conv.weight.grad.equal(gradient)


class MovesInPlace(nn.Linear):
    """Moves as modules do between a CPU and a GPU: the parameter stays, with other memory."""

    def to(self, device):
        for parameter in self.parameters():
            parameter.data = parameter.data + 1
        return self


def test_what_a_parameter_held_is_given_back():
    model = MovesInPlace(2, 2)
    before = described(model)
    with in_evaluation_mode(model, torch.device("meta")):
        assert described(model)["memory"] != before["memory"]
    assert described(model) == before


def test_each_model_sees_the_measurement_and_not_what_another_made_of_it(slices):
    models = {"in place": Answers(lambda y: y.mul_(0)), "same": nn.Identity()}
    table = evaluate(models, slices, motion_deblurring()).set_index("model")
    assert table.loc["same", "psnr"].tolist() == table.loc["Measurement", "psnr"].tolist()
    assert table.loc["in place", "psnr"].max() < table.loc["same", "psnr"].min()


@pytest.mark.parametrize("state", CALLERS_STATES.values(), ids=CALLERS_STATES)
def test_the_table_is_the_same_in_any_state(slices, state):
    models = {"ResCNN": build("ResCNN", seed=0), "Tikhonov": Tikhonov(motion_deblurring().operator)}
    expected = evaluate(models, slices, motion_deblurring(), first=1)
    with state():
        found = evaluate(models, slices, motion_deblurring(), first=1)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_bad_requests_are_explained(slices):
    with pytest.raises(ValueError, match=r"metrics\[0\] is 'nrmse'"):
        evaluate({}, slices, motion_deblurring(), metrics=("nrmse",))
    with pytest.raises(ValueError, match="at least one slice"):
        evaluate({}, slices[:0], motion_deblurring())
    for arguments, says in [
        ({"images": [*slices, torch.full((1, 64, 64), torch.nan)]}, r"images\[3\] holds NaN"),
        ({"images": 255 * slices}, r"images\[0\] goes from .* to 25\d"),
        ({"images": slices[:, :, :5]}, r"models\['Measurement'\] on images\[0\]: x is 5x64"),
        ({"models": {"Measurement": Brighter()}}, "models has the name 'Measurement'"),
        ({"first": 0}, "first is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"device": "cray"}, "device 'cray' can't be used"),
    ]:
        with pytest.raises(ValueError, match=says):
            evaluate(**{"models": {}, "images": slices, "problem": motion_deblurring()} | arguments)


def test_images_may_differ_in_size(slices):
    table = evaluate({}, [slices[0], slices[1][:, :40]], motion_deblurring())
    assert len(table) == 2 and table["psnr"].between(5, 60).all()
    with pytest.raises(ValueError, match=r"images have the shapes .*40, 64.*; expected one size"):
        measure_one_by_one([slices[0], slices[1][:, :40]], motion_deblurring())


def test_training_a_model_of_the_course_writes_a_checkpoint_and_its_record(tmp_path, monkeypatch):
    # LPIPS takes long
    monkeypatch.setattr("ippy.quality.metrics.features_available", lambda: False)
    recipe = Recipe(steps=3, batch_size=2, crop=32)
    history = train_model("CNN", recipe=recipe, folder=tmp_path, progress=False)
    record = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))["CNN"]
    assert record["history"]["loss"] == history.loss
    assert record["recipe"]["steps"] == 3
    assert record["arguments"] == {"in_ch": 1, "out_ch": 1, "n_filters": 32}
    assert record["data"]["generated"] is True and record["data"]["train_slices"] >= 1600
    assert [step for step, _, _ in record["history"]["validation"]] == [3]
    assert record["test"]["images"] == 32 and 5 < record["test"]["psnr"] < 60


def test_evaluate_command_prints_the_table(capsys):
    assert command_line.main(["evaluate", "--first", "1"]) == 0
    printed = capsys.readouterr().out
    for label in ("Measurement", "Residual UNet", "UNet++", "ViT", "psnr"):
        assert label in printed


@pytest.fixture
def quick_scores(monkeypatch):
    """The command's scores without LPIPS, and total variation after a step."""
    monkeypatch.setattr("ippy.quality.metrics.features_available", lambda: False)
    monkeypatch.setattr(evaluate_command, "TotalVariation", partial(TotalVariation, steps=1))


@pytest.mark.usefixtures("quick_scores")
def test_evaluate_command_records_scores_beside_what_training_wrote(
    folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(manifest, "weights_dir", lambda: tmp_path)
    monkeypatch.setattr(evaluate_command, "load_checkpoint", lambda name, path: Brighter())
    command = ["evaluate", "--data", str(folder), "--record"]
    assert command_line.main(command) == 2
    assert "has no entry 'CNN'" in capsys.readouterr().err

    (tmp_path / "manifest.json").write_text(
        json.dumps({name: {"sha256": name, "test": {}} for name in NAMES}), encoding="utf-8"
    )
    assert command_line.main(command) == 0
    for name, entry in json.loads((tmp_path / "manifest.json").read_text("utf-8")).items():
        assert entry["sha256"] == name and entry["test"] == {}
        assert entry["real"]["images"] == 3 and 5 < entry["real"]["psnr"] < 60
        assert entry["real"]["slices"] == ["P/0.png", "P/1.png", "P/2.png"]


@pytest.mark.usefixtures("quick_scores")
def test_evaluate_command_scores_the_checkpoints_of_a_folder(folder, tmp_path, capsys):
    own = tmp_path / "own weights"
    command = ["evaluate", "--data", str(folder), "--weights", str(own), "--white", "65535"]
    assert command_line.main(command) == 2
    assert "own weights holds no model of the course" in capsys.readouterr().err
    save_checkpoint(build("ResCNN", seed=0), own / "ResCNN.pth")
    assert command_line.main([*command, "--record"]) == 0
    said = capsys.readouterr()
    assert "ResCNN" in said.out and "UNet" not in said.out and "Left out" not in said.err
    entry = read_manifest(own)["ResCNN"]
    assert entry["real"]["images"] == 3 and entry["real"]["white"] == 65535


def test_generated_slices_are_not_recorded_as_real_ones(capsys):
    generated = data_dir() / "test"
    assert command_line.main(["evaluate", "--data", str(generated), "--record"]) == 2
    assert "was generated" in capsys.readouterr().err


@pytest.fixture
def two_good_one_bad(folder, quick_scores, monkeypatch):
    """A folder with a bad file, and models that take no time."""
    (folder / "P" / "1.png").write_text("no picture", encoding="utf-8")
    monkeypatch.setattr(evaluate_command, "load_checkpoint", lambda name, path: Brighter())
    return folder


def test_evaluate_command_stops_at_a_bad_file(two_good_one_bad, capsys):
    assert command_line.main(["evaluate", "--data", str(two_good_one_bad)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: cannot read") and "1.png" in last and "--skip-bad" in last


def test_evaluate_command_goes_on_without_bad_files_and_lists_them(two_good_one_bad, capsys):
    assert command_line.main(["evaluate", "--data", str(two_good_one_bad), "--skip-bad"]) == 0
    printed = capsys.readouterr()
    assert "Means over 2 slices" in printed.out
    listed = printed.err[
        printed.err.index("Skipped 1, which can't be read; 2 slices are left") :
    ].splitlines()
    assert "1.png" in listed[1] and "does not begin as a PNG" in listed[1]


def test_a_damaged_checkpoint_stops_the_command_with_one_line(tmp_path, monkeypatch, capsys):
    images = data_dir() / "test"
    monkeypatch.setenv("IPPY_COURSE", str(tmp_path))
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "CNN.pth").touch()
    assert command_line.main(["evaluate", "--data", str(images)]) == 2
    error = capsys.readouterr().err
    assert "CNN.pth is empty" in error and "git checkout -- weights/CNN.pth" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train"], "name some of CNN, ResCNN"),
        (["train", "VGG"], "'VGG' is not a model"),
        (["evaluate", "--data", "no/such/folder"], "no/such/folder"),
    ],
)
def test_bad_commands_are_one_line(capsys, arguments, says):
    assert command_line.main(arguments) == 2
    error = capsys.readouterr().err
    assert says in error.replace("\\", "/") and error.count("\n") == 1


def test_help_tells_what_each_command_does(capsys):
    for command in ("prepare", "train", "evaluate"):
        with pytest.raises(SystemExit):
            command_line.main([command, "--help"])
        assert len(capsys.readouterr().out) > 300


def test_the_products_of_attention_are_counted():
    N, d, mlp = 16, 8, 24
    block = TransformerEncoderBlock(d, 2, mlp)
    by_hand = 2 * N * (4 * d * d + 2 * N * d + 2 * d * mlp)
    assert gflop(block, torch.rand(1, N, d)) == pytest.approx(by_hand / 1e9)


def test_memory_is_the_most_that_a_call_had_at_a_time() -> None:
    there_before = torch.ones(2**20)

    def call() -> None:
        first = torch.ones(2**20)  # 4 MB
        del first
        second, third = torch.ones(2**20), there_before + 1
        time.sleep(0.02)
        del second, third

    seconds, memory = time_and_memory(call)
    assert seconds >= 0.02
    assert memory == pytest.approx(8, rel=1e-3)
    assert time_and_memory(lambda: None)[1] == 0


def test_a_summary_keeps_the_order(slices):
    table = evaluate({"b": Brighter(), "a": Brighter()}, slices, motion_deblurring())
    assert [*summarise(table).index] == ["Measurement", "b", "a"]
