"""Studies: what their rows differ in, what is left to do, what a failure costs, what the table says."""

import contextlib
import json
import subprocess
import sys
import threading

import numpy as np
import pytest
from scipy import stats
from tiny import TINY

from gamix_keras import files, study
from gamix_keras.config import UserError
from gamix_keras.config.presets import Preset, load_preset
from gamix_keras.study import pool, results

pytestmark = pytest.mark.backend_free

# Without what concerns critic and perceptual term: some of these studies have none, and others set it themselves.
SMALL = {key: value for key, value in TINY.items() if not key.startswith(("model.critic", "loss."))}
SMALL["second_stage.epochs"] = 0
# What the recipe of pictures has, in other numbers than a study would take.
PICTURES = {
    "model.critic_network": "projected",
    "model.critic_width": 8,
    "loss.perceptual_weight": 7000.0,
    "loss.perceptual_start": 0.3,
    "loss.perceptual_layers": "stem,stage2",
    "loss.moments": "total",
    "loss.momentum": 0.98,
    "loss.adversarial": "hinge",
    "loss.adversarial_weight": 0.4,
    "loss.adversarial_samples": 0.25,
    "loss.adaptive_weight": True,
    "loss.adaptive_every": 5,
    "loss.critic_start": 0.6,
    "training.critic_beta_1": 0.0,
}


def planned(out, name="ablation", seeds=1, sources=(), wanted=None, preset="gamix", protocol=None, **changes):
    common = {**SMALL, **changes}
    if name == "latent-dim":
        del common["model.latent_dim"]
    preset = preset if isinstance(preset, Preset) else load_preset(preset)
    rows = study.select_rows(name, sources, wanted, preset.config, common)
    return rows, study.plan_jobs(name, rows, out, preset, common, protocol or study.Protocol(), seeds)


def differences(jobs):
    """The settings in which the runs of a study differ."""
    flat = [job.config.flat() for job in jobs]
    return {key for key in flat[0] if len({values[key] for values in flat}) > 1}


def test_every_study_is_known_to_the_command_line():
    from gamix_keras.cli import study as command

    assert tuple(study.STUDIES) == command.STUDIES


def test_the_ablation_adds_one_term_at_a_time(tmp_path):
    rows, jobs = planned(tmp_path)
    names = ["elbo", "global", "global-variance", "global-variance-critic", "perceptual", "projected"]
    assert [row.name for row in rows] == [*names, "projected-samples"]
    elbo, without, variance, patchgan, perceptual, projected, samples = (job.config for job in jobs)
    assert (elbo.model.name, without.model.name) == ("vae", "gamix")
    assert differences(jobs[:2]) == {"model.name", "loss.variance_weight"} and not elbo.loss.perceptual_weight
    assert differences(jobs[1:3]) == {"loss.variance_weight"} and without.loss.variance_weight == 0
    assert differences(jobs[2:4]) == {"model.critic"} and patchgan.has_critic
    assert differences([jobs[2], jobs[4]]) == {"loss.perceptual_weight", "loss.perceptual_layers"}
    assert perceptual.loss.perceptual_weight == 0.2 * perceptual.loss.mae_weight
    critic = {key for key in differences(jobs[4:6]) if not key.startswith(("model.critic", "training.critic_"))}
    starts = {"loss.critic_start", "loss.adaptive_weight", "loss.adaptive_every"}
    starts |= {"loss.adversarial_start", "loss.adversarial_ramp"}
    assert critic == starts | {"loss.adversarial", "loss.adversarial_weight"}
    assert projected.has_critic and projected.model.critic_network == "projected"
    assert differences(jobs[5:]) == {"loss.adversarial_samples"} and samples.loss.adversarial_samples == 0.5


def test_the_ablation_takes_from_the_recipe_what_it_has(tmp_path):
    recipe = load_preset("celeba64-light")
    pictures = Preset("pictures", recipe.about, load_preset("gamix").config.updated(PICTURES))
    jobs = planned(tmp_path, preset=pictures)[1]
    elbo, without, variance, patchgan, perceptual, projected, samples = (job.config for job in jobs)
    for key, value in PICTURES.items():
        assert samples.get(key) == value, key
    assert differences(jobs[5:]) == {"loss.adversarial_samples"} and projected.loss.adversarial_samples == 0
    assert differences(jobs[4:6]) == {"model.critic", "loss.adversarial_samples"}
    assert differences([jobs[2], jobs[4]]) == {"loss.perceptual_weight"} and variance.loss.perceptual_weight == 0
    assert not any(job.has_critic for job in (elbo, without, variance, perceptual))
    # The published critic, not a PatchGAN in the projected one's harness.
    assert (patchgan.model.critic_network, patchgan.loss.adversarial) == ("patchgan", "bce")
    assert not (patchgan.loss.adaptive_weight or patchgan.loss.adversarial_samples or patchgan.loss.perceptual_weight)
    assert patchgan.training.critic_beta_1 is None and patchgan.loss.adversarial_start == 0.6
    assert {job.loss.moments for job in (elbo, without, patchgan, samples)} == {"total"}


def test_the_ablation_takes_no_default_in_place_of_what_is_asked_for(tmp_path):
    asked = {"loss.critic_start": 0.7, "loss.perceptual_weight": 12.0, "loss.adversarial_weight": 3.0}
    *_, patchgan, perceptual, projected, samples = (job.config for job in planned(tmp_path, **asked)[1])
    assert {config.loss.perceptual_weight for config in (perceptual, projected, samples)} == {12.0}
    assert patchgan.loss.perceptual_weight == 0.0
    assert all(config.loss.critic_start == 0.7 for config in (projected, samples))
    assert all(config.loss.adversarial_weight == 3.0 for config in (patchgan, projected, samples))


@pytest.mark.parametrize("recipe", ["gamix", "pictures"])
def test_the_baseline_gets_the_same_further_terms(tmp_path, recipe):
    changes = PICTURES if recipe == "pictures" else {}
    preset = Preset(recipe, {}, load_preset("gamix").config.updated(changes))
    rows, jobs = planned(tmp_path, "baselines", preset=preset)
    ends = ("", "-perceptual", "-critic")
    assert [row.name for row in rows] == [f"{model}{end}" for model in ("sigma-vae", "gamix") for end in ends]
    objective = {"model.name", "loss.likelihood", "loss.scale", "loss.mae_weight"}
    assert differences([jobs[0], jobs[3]]) == objective
    for baseline, ours in ((jobs[1], jobs[4]), (jobs[2], jobs[5])):
        assert differences([baseline, ours]) == objective | {"loss.perceptual_weight"}
        # Beside the fixed scale b, w b of a learned one's counts for w.
        b = ours.config.likelihood_scale
        expected = ours.config.loss.perceptual_weight * b
        assert baseline.config.loss.perceptual_weight == pytest.approx(expected)
    assert [job.config.has_critic for job in jobs] == [False, False, True] * 2
    assert jobs[5].config.loss.adversarial_samples == (0.25 if changes else 0.5)
    assert jobs[4].config.loss.perceptual_weight == (7000.0 if changes else 0.2 * 5000.0)


def test_samplers_weighs_the_recipes_perceptual_term_by_the_scale(tmp_path):
    jobs = {job.row: job.config for job in planned(tmp_path, "samplers", **{"loss.perceptual_weight": 500.0})[1]}
    assert {jobs[name].loss.perceptual_weight for name in ("vae", "gamix", "gamix-full")} == {500.0}
    learned = [jobs[name].loss.perceptual_weight for name in ("sigma-vae", "gamix-learned")]
    assert learned == pytest.approx([500.0 * 768 / 5000.0] * 2)


def test_variance_weights_span_five_orders_and_nothing_else_changes(tmp_path):
    rows, jobs = planned(tmp_path, "variance-weight")
    weights = [job.config.loss.variance_weight for job in jobs]
    assert weights == [row.value for row in rows] and max(weights) / min(weights) == pytest.approx(1e5)
    assert differences(jobs) == {"loss.variance_weight"}
    assert differences(planned(tmp_path, "latent-dim")[1]) == {"model.latent_dim"}


def test_samplers_compares_systems_at_one_budget(tmp_path):
    _, jobs = planned(tmp_path, "samplers", **{"second_stage.epochs": 3})
    assert differences(jobs) == {
        *("model.name", "loss.likelihood", "loss.scale", "loss.mae_weight", "loss.moments", "loss.momentum")
    }
    assert all(job.config.second_stage.epochs == 3 and not job.config.model.critic for job in jobs)
    assert jobs[0].config.second_stage.width == 512
    assert all(job.config.model.critic for job in planned(tmp_path, "samplers", **{"model.critic": True})[1])


def test_a_second_stage_of_the_recipe_is_left_as_it_is(tmp_path):
    rows = study.select_rows("samplers")
    jobs = study.plan_jobs("samplers", rows, tmp_path, load_preset("two-stage-wae"), {}, study.Protocol())
    assert jobs[0].config.second_stage.epochs == 800


def test_data_sets_are_told_apart_by_name(tmp_path):
    sources = ("faces", "idx:/data/a/fashion", "folder:/data/b/fashion", "tfds:celeb_a_hq/256")
    rows, jobs = planned(tmp_path, "cross-dataset", sources=sources)
    assert [row.name for row in rows] == ["faces", "fashion-2", "fashion-3", "celeb_a_hq-256"]
    assert [job.config.data.source for job in jobs] == list(sources)


def test_seeds_have_runs_of_their_own(tmp_path):
    _, jobs = planned(tmp_path, seeds=3, wanted=("elbo",), seed=5)
    assert [(job.config.seed, job.name) for job in jobs] == [(seed, f"elbo-seed{seed}") for seed in (5, 6, 7)]
    assert differences(jobs) == {"seed"}
    assert study.Job.from_json(jobs[0].to_json()) == jobs[0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "cross-dataset", "sources": ("faces",)}, "--data: expected at least two sources"),
        ({"sources": ("faces", "a")}, "--data: expected one source for ablation, got 2"),
        ({"wanted": ("elbo", "magic")}, "--rows: expected names of elbo, .*, got magic"),
        ({"model.name": "vae"}, "--set: expected other settings than model.name, which the study ablation sets"),
        ({"protocol": study.Protocol(("second_stage",))}, "--samplers: expected second_stage.epochs above 0"),
        ({"model.stages": 6}, "row elbo: data.image_size: expected a multiple"),
        ({"model.patch": 4}, "model.patch: expected model.network=transformer, without which it does nothing"),
    ],
)
def test_mistakes_are_named(tmp_path, values, message):
    with pytest.raises(UserError, match=message):
        planned(tmp_path, **values)


def evaluation(job, prior=100.0, mixture=50.0, psnr=20.0, further=None):
    """What an evaluation of a job by its protocol looks like, as far as studies read it."""
    score = lambda value: {"frechet": {"name": "FD-efflite0", "value": value}}  # noqa: E731
    drawn = {"gaussian": score(75.0), "mixture": score(mixture), "prior": score(prior)}
    (extractor,) = job.protocol.extractors or ("efficientnet_lite0",)
    asked = {"extractor": extractor, "asked_images": job.protocol.count, "seed": 0, "split": "held out"}
    return {
        "reconstruction": {"psnr": psnr, "mse": 0.01, **score(40.0)},
        "latents": {"active_units": 3},
        "real": score(8.0),
        "samplers": drawn,
        **({"further_extractors": further} if further else {}),
        "protocol": {**asked, "checkpoint_epoch": 1, "real_images": 24, "samplers": dict.fromkeys(drawn, "")},
    }


def finish(job, **numbers):
    """Leave what a finished run leaves, as far as studies read it."""
    import zipfile

    run = job.open_run()
    run.begin_session(0)
    (run.path / "checkpoints").mkdir(exist_ok=True)
    # Whole at once, as the real one: the other runs' results are read meanwhile.
    with files.replacing(run.path / "checkpoints" / "epoch-0001.keras") as part, zipfile.ZipFile(part, "w") as archive:
        archive.writestr("weights", "")
    (run.path / "evaluation.json").write_text(json.dumps(evaluation(job, **numbers)))


def test_a_run_is_finished_when_trained_and_evaluated_by_the_same_protocol(tmp_path):
    _, (job, *_) = planned(tmp_path)
    assert job.result() is None
    finish(job)
    assert job.result() == evaluation(job)
    for changes in ({"training.epochs": 2}, {"second_stage.epochs": 2}):
        assert planned(tmp_path, **changes)[1][0].result() is None
    for other in (study.Protocol(count=30), study.Protocol(("prior",)), study.Protocol(extractors=("inception",))):
        assert planned(tmp_path, protocol=other)[1][0].result() is None
    (job.path / "evaluation.json").write_text("{")
    assert job.result() is None


@pytest.mark.parametrize("changes", [{"model.width": 8}, {"data.source": "elsewhere"}])
def test_another_study_in_the_directory_is_refused(tmp_path, changes):
    finish(planned(tmp_path)[1][0])
    rows, jobs = planned(tmp_path, **changes)
    with pytest.raises(UserError, match="as the run was started with.*; choose another --out"):
        study.run_study("ablation", tmp_path, rows, jobs, 1, print)


def test_fewer_epochs_than_a_run_has_behind_it_are_refused(tmp_path):
    finish(planned(tmp_path, **{"training.epochs": 3})[1][0])
    job = planned(tmp_path)[1][0]
    (job.path / "checkpoints" / "epoch-0001.keras").rename(job.path / "checkpoints" / "epoch-0003.keras")
    with pytest.raises(UserError, match="training.epochs: expected at least 3"):
        job.check()


@pytest.fixture
def fake(monkeypatch):
    """Stands in for the workers: notes what is run, finishes it, or fails where the row is ``global``."""
    done = []

    def run_job(job, start):
        done.append(job.name)
        if job.row == "global":
            return "ResourceError: too large"
        return finish(job, mixture=10.0 * (1 + job.config.seed), psnr=20.0 + job.config.seed)

    monkeypatch.setattr(pool, "run_job", run_job)
    return done


def test_extractors_are_compared_as_they_were_asked_for(tmp_path):
    """An evaluation from before there could be several counts as the default, and is not repeated."""
    _, (job, *_) = planned(tmp_path)
    finish(job)
    both = planned(tmp_path, protocol=study.Protocol(extractors=("efficientnet_lite0", "onet")))[1][0]
    assert job.result() is not None and both.result() is None
    for asked, is_default in ((None, True), (["onet", "efficientnet_lite0"], False)):
        found = evaluation(job)
        found["protocol"]["asked_extractors"] = asked
        (job.path / "evaluation.json").write_text(json.dumps(found))
        assert (job.result() is not None) is is_default and (both.result() is not None) is not is_default
    assert study.Job.from_json(both.to_json()) == both


def by_onet(value, trained_on=False):
    """What a second extractor says, as far as studies read it."""
    score = lambda value, share: {"frechet": {"name": "FD-onet", "value": value}, "face_share": share}  # noqa: E731
    drawn = {"gaussian": score(400.0, 0.9), "mixture": score(value, 0.8), "prior": score(900.0, 0.5)}
    protocol = {"extractor": "onet", "trained_on": trained_on}
    return {"real": score(20.0, 0.99), "reconstruction": score(300.0, 0.95), "samplers": drawn, "protocol": protocol}


def test_every_extractor_has_columns_and_what_was_trained_on_decides_nothing(tmp_path, monkeypatch):
    rows, jobs = planned(tmp_path, wanted=("elbo", "global-variance"))

    def run_job(job, start):
        finish(job, further={"onet": by_onet(500.0)})
        if job.row == "global-variance":  # trained on the first: the other decides, and stands first
            flattered = {**evaluation(job), "protocol": {"extractor": "efficientnet_lite0", "trained_on": True}}
            names = ("reconstruction", "samplers", "real", "protocol")
            found = {**evaluation(job), **by_onet(450.0), "further_extractors": {}}
            found["reconstruction"] |= {"psnr": 20.0, "mse": 0.01}
            found["further_extractors"]["efficientnet_lite0"] = {name: flattered[name] for name in names}
            found["protocol"] = {**evaluation(job)["protocol"], "extractor": "onet", "asked_extractors": None}
            (job.path / "evaluation.json").write_text(json.dumps(found))

    monkeypatch.setattr(pool, "run_job", run_job)
    study.run_study("ablation", tmp_path, rows, jobs, 1, print)
    lines = (tmp_path / "table.md").read_text().splitlines()
    titles, _, elbo, last = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[:4])
    elbo, last = dict(zip(titles, elbo, strict=True)), dict(zip(titles, last, strict=True))
    # O-Net decides for both rows, because one row was trained on the features of the other.
    assert elbo["FD-onet best"] == "400.00 (gaussian)" and last["FD-onet best"] == "400.00 (gaussian)"
    assert (elbo["FD-onet mixture"], last["FD-onet mixture"]) == ("500.00", "450.00")
    assert (elbo["FD-efflite0 mixture"], last["FD-efflite0 mixture"]) == ("50.00", "50.00*")
    assert (elbo["face real"], elbo["face best"]) == ("0.990", "0.900")
    assert elbo["FD-efflite0 best"] == "75.00" and last["FD-efflite0 best"] == "75.00*"
    assert "features of onet" in lines[5] and "trained on these features" in lines[7]


def test_a_failed_row_is_named_and_the_others_go_on(tmp_path, fake):
    rows, jobs = planned(tmp_path, seeds=2, wanted=("elbo", "global", "global-variance"))
    lines = []
    failures = study.run_study("ablation", tmp_path, rows, jobs, 1, lines.append)
    assert failures == dict.fromkeys(("global-seed0", "global-seed1"), "ResourceError: too large")
    assert fake == [job.name for job in jobs]
    assert "global-seed0: failed: ResourceError: too large" in lines
    table = (tmp_path / "table.md").read_text()
    assert "- global-seed1 failed: ResourceError: too large" in table
    assert [cell.strip() for cell in table.splitlines()[3].split("|")][1:3] == ["global", "-"]
    found = json.loads((tmp_path / "study.json").read_text())["rows"]
    assert found["global"]["runs"]["global-seed0"] == {"failure": "ResourceError: too large"}
    assert found["elbo"]["runs"]["elbo-seed1"]["frechet/mixture"] == 20.0


def test_what_is_finished_is_not_repeated(tmp_path, fake):
    rows, jobs = planned(tmp_path, wanted=("elbo", "global", "global-variance"))
    study.run_study("ablation", tmp_path, rows, jobs, 1, print)
    fake.clear()
    study.run_study("ablation", tmp_path, rows, jobs, 1, print)
    assert fake == ["global-seed0"]
    with pytest.raises(UserError, match="--out: expected a new directory or one of the study samplers"):
        study.run_study("samplers", tmp_path, rows, jobs, 1, print)


def test_the_table_has_means_intervals_and_the_best_sampler(tmp_path, fake):
    rows, jobs = planned(tmp_path, seeds=3, wanted=("elbo",))
    study.run_study("ablation", tmp_path, rows, jobs, 2, print)
    lines = (tmp_path / "table.md").read_text().splitlines()
    half = stats.t.interval(0.95, 2, scale=1.0 / np.sqrt(3))[1]
    cells = [cell.strip() for cell in lines[2].split("|")]
    assert cells[1:3] == ["elbo", f"21.00 ± {half:.2f}"]
    assert cells[-2] == f"20.00 ± {10 * half:.2f} (mixture)"
    titles = [cell.strip() for cell in lines[0].split("|")]
    assert titles[5:-1] == [f"FD {name}" for name in ("real", "reconstruction", "prior", "gaussian", "mixture", "best")]
    assert cells[5] == "8.00 ± 0.00" and "`real` is the floor" in lines[-1]
    assert "Seeds: 3 (mean ± 95 % interval)" in lines[-1] and "24 held-out images" in lines[-1]
    assert {len(line) for line in lines[:3]} == {len(lines[0])}
    assert all((tmp_path / f"{name}.png").stat().st_size > 1000 for name in ("distances", "psnr"))


def test_an_evaluation_without_a_floor_leaves_it_out_of_the_row(tmp_path):
    new = evaluation(planned(tmp_path)[1][0])
    old = {name: value for name, value in new.items() if name != "real"}
    row = results.summarise(map(results.measures_of, (new, old)))
    assert "frechet/real" not in row and row["frechet/best"]["mean"] == 50.0


def test_one_run_has_no_interval():
    assert results.mean_of([3.0]) == {"mean": 3.0, "seeds": 1}
    assert results.summarise([]) == {}


@pytest.mark.parametrize(
    ("program", "failure"),
    [
        ("import sys; print('Traceback'); print('data: expected images\\n'); sys.exit(1)", "data: expected images"),
        ("import os; os.kill(os.getpid(), 9)", "ended by SIGKILL; out of memory?"),
        ("", "ended without an evaluation of this protocol"),
    ],
)
def test_how_a_worker_ended_is_told_in_one_line(tmp_path, program, failure):
    def start(job, log):
        return subprocess.Popen([sys.executable, "-c", program], stdout=log)

    assert pool.run_job(planned(tmp_path)[1][0], start) == failure


def test_two_studies_of_one_folder_share_its_runs(tmp_path, monkeypatch):
    """Each run once, as on two machines: whoever has a run is waited for."""
    jobs, started, reports = planned(tmp_path)[1], [], ([], [])

    def start(job, log):
        started.append(job.name)
        finish(job)
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.1)"], stdout=log)

    monkeypatch.setattr(pool, "_processes", lambda: contextlib.nullcontext(start))
    monkeypatch.setattr(pool, "POLL_SECONDS", 0.05)
    collect = lambda mine: lambda job, failure: mine.append((job.name, failure))  # noqa: E731
    threads = [threading.Thread(target=pool.run_jobs, args=(jobs, collect(mine))) for mine in reports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = [job.name for job in jobs]
    assert sorted(started) == sorted(names)
    assert all(sorted(mine) == sorted((name, None) for name in names) for mine in reports)


def test_a_run_that_another_process_works_at_is_not_touched(tmp_path):
    job = planned(tmp_path)[1][0]
    with files.locked(pool.log_of(job).with_suffix(".lock")), pytest.raises(files.Locked):
        pool.run_job(job, start=None)
    finish(job)
    assert pool.run_job(job, start=None) is None
