"""Capture on pictures with a known answer: heads painted and rendered here, fitted and unwrapped by the project."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.painted_head import FOCAL, IMAGE, SIZE, facing, paint, render

from studio_avatar import errors
from studio_avatar.capture import PhoneTexture, capture, observe
from studio_avatar.capture.detection.keyframes import choose_keyframes
from studio_avatar.capture.detection.landmark_errors import landmark_errors, pose_terms, rolled
from studio_avatar.capture.detection.landmarks import Face
from studio_avatar.capture.detection.people import FaceFrame
from studio_avatar.capture.fitting.head_fit import fit_head
from studio_avatar.capture.io.frame import Frame
from studio_avatar.capture.io.lens import Lens
from studio_avatar.capture.observation import TRACKING_SIZE
from studio_avatar.capture.texture.fusion import fill_unseen, fuse
from studio_avatar.capture.texture.unwrap import FrameCamera, View, _nearest, unwrap

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")

MAGENTA = (255, 0, 255)  # a background that no texel may take on


@pytest.fixture(scope="module")
def texels(head):
    from studio_avatar.head.layout import texel_map

    return texel_map(head, SIZE)


@pytest.fixture(scope="module")
def painting(head):
    return paint(head)


@pytest.fixture(scope="module")
def photo(head, painting):
    return render(head, painting, head.neutral.numpy(), facing(4))


@pytest.fixture(scope="module")
def single(head, photo) -> PhoneTexture:
    return capture(photo, head, size=SIZE)


@pytest.fixture(scope="module")
def clip(head, painting, tmp_path_factory) -> Path:
    """The head turns from side to side once, in eight pictures of H.264."""
    av = pytest.importorskip("av")
    path = tmp_path_factory.mktemp("clip") / "selfie.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "16"})
        stream.width, stream.height, stream.pix_fmt = *IMAGE, "yuv420p"
        for number, yaw in enumerate(np.r_[np.linspace(-40, 40, 7), 0.0]):
            frame = av.VideoFrame.from_ndarray(
                render(head, painting, head.neutral.numpy(), facing(yaw)), "rgb24"
            )
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def several(head, clip) -> PhoneTexture:
    return capture(clip, head, size=SIZE)


# --- fit


def synthetic_faces(head, num_frames: int, seed: int = 0) -> tuple[list[Face], np.ndarray, np.ndarray]:
    """Landmarks of a random head in several poses, biased as the detector is: faces, true rotations and pixels."""
    rng = np.random.default_rng(seed)
    identity = rng.normal(0, 0.7, head.config.num_identity).astype(np.float32)
    faces, rotations, pixels = [], [], []
    for k in range(num_frames):
        scores = {name: 0.0 for name in head.config.expression_names} | {
            "jawOpen": 0.2,
            "mouthSmileLeft": 0.4,
        }
        expression = torch.tensor([scores[name] for name in head.config.expression_names])
        points = head.landmarks(head.vertices(torch.from_numpy(identity), expression)).numpy()
        rotation = facing(0 if num_frames == 1 else -30 + 60 * k / (num_frames - 1), 5)
        camera = points @ rotation.T + (0.01, 0.02, 0.55)
        pixel = np.zeros((478, 2), np.float32)
        pixel[:468] = FOCAL * camera[:, :2] / camera[:, 2:] + np.array(IMAGE) / 2
        face = Face(pixel.copy(), scores, np.diag([1.0, -1.0, -1.0]) @ rotation)
        bias = rolled(face, np.tensordot(pose_terms(face), landmark_errors().bias, 1))
        face.points[:468] += bias * np.linalg.norm(pixel[10] - pixel[152])
        faces.append(face)
        rotations.append(rotation)
        pixels.append(pixel[:468])
    return faces, np.stack(rotations), np.stack(pixels)


@pytest.mark.parametrize("num_frames", [1, 5])
def test_fit_recovers_known_landmarks(head, num_frames):
    faces, rotations, true_pixels = synthetic_faces(head, num_frames)
    fit = fit_head(head, faces, IMAGE)
    assert fit.reprojection_error < 0.004
    assert fit.expression.min() >= 0.0 and fit.expression.max() <= 1.0
    cosine = (np.einsum("kij,kij->k", fit.rotation, rotations) - 1) / 2
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 3.0
    np.testing.assert_allclose(np.linalg.det(fit.rotation), 1.0, atol=1e-5)
    # The error it reports is the error there is.
    vertices = head.vertices(torch.from_numpy(fit.identity), torch.from_numpy(fit.expression))
    camera = (
        np.einsum("kij,knj->kni", fit.rotation, head.landmarks(vertices).numpy()) + fit.translation[:, None]
    )
    pixel = fit.focal_px * camera[..., :2] / camera[..., 2:] + np.array(IMAGE) / 2
    error = [
        np.linalg.norm(p - true, axis=1).mean() / f.height_px
        for p, true, f in zip(pixel, true_pixels, faces, strict=True)
    ]
    assert np.mean(error) == pytest.approx(fit.reprojection_error, rel=0.3, abs=2e-4)


def test_fit_of_one_photo_keeps_to_the_lens_that_the_file_tells(head):
    """A wide view from near and a narrow one from far away look nearly alike."""
    faces = synthetic_faces(head, 1)[0]

    def error(lens) -> float:
        return abs(np.log(fit_head(head, faces, IMAGE, lens=lens).focal_px / FOCAL))

    assert error(Lens(FOCAL / max(IMAGE), sigma=0.05)) < 0.05
    wrong = Lens(2.0 * FOCAL / max(IMAGE), sigma=0.05)
    assert error(wrong) > max(0.3, error(None))


def test_fit_ignores_a_few_wild_landmarks(head):
    faces = synthetic_faces(head, 1)[0]
    clean = fit_head(head, faces, IMAGE)
    wild = np.random.default_rng(1).choice(468, 12, replace=False)
    faces[0].points[wild] += 60.0
    spoilt = fit_head(head, faces, IMAGE)
    assert np.linalg.norm(spoilt.translation - clean.translation) < 0.03
    trace = (spoilt.rotation[0] * clean.rotation[0]).sum()
    assert np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1))) < 1.0


# --- unwrap


def unwrapped(head, texels, painting, rotation, **options) -> View:
    vertices, shift = head.neutral.numpy(), np.array([0.0, 0.03, 0.5])
    picture = render(head, painting, vertices, rotation, shift, **options)
    frame = Frame(picture, 0.0, (0, 0, *IMAGE))
    landmarks = head.landmarks(head.neutral).numpy() @ rotation.T + shift
    pixel = FOCAL * landmarks[:, :2] / landmarks[:, 2:]
    return unwrap(
        frame,
        head,
        texels,
        vertices,
        FrameCamera(FOCAL, rotation, shift, IMAGE, float(np.linalg.norm(pixel[10] - pixel[152]))),
    )


@pytest.mark.parametrize("yaw", [0, 35, -35])
def test_unwrap_is_the_inverse_of_render(head, texels, painting, yaw):
    view = unwrapped(head, texels, painting, facing(yaw), lit=False, background=MAGENTA)
    sure = view.trust > 0.3
    assert 0.1 < sure.mean() < 0.6
    assert np.abs(view.rgb - painting)[sure].mean() < 0.02
    magenta = (view.rgb[..., 0] > 0.6) & (view.rgb[..., 2] > 0.6) & (view.rgb[..., 1] < 0.4)
    assert not (magenta & (view.trust > 0.05)).any()


def test_a_turned_head_shows_the_side_it_turns_away(head, texels, painting):
    """Not mirrored: turned to the person's left, the right side is seen, which is the texture's left."""
    view = unwrapped(head, texels, painting, facing(40))
    assert view.trust[:, : SIZE // 2].sum() > 2.0 * view.trust[:, SIZE // 2 :].sum()


def test_what_is_behind_or_turned_away_is_not_seen(head, texels, painting):
    from studio_avatar.head.layout import region_mask, texel_normals

    view = unwrapped(head, texels, painting, facing(0))
    normals = texel_normals(texels, head, head.neutral.numpy())
    assert view.trust[normals[..., 2] < 0.0].max() == 0.0
    assert view.trust[region_mask(head, SIZE, "tongue", "mouth", "eye_sockets")].max() < 0.05
    assert view.trust[texels.triangle < 0].max() == 0.0


def test_the_depth_buffer_holds_what_is_nearest():
    """Two squares, the second nearer and to the right: both are given with their depths, nothing elsewhere."""
    square = np.array([[0, 0], [4, 0], [4, 4], [0, 4]], np.float32)
    at = np.concatenate([square + (1, 1), square + (3, 1)])
    depth = np.repeat(np.float32([0.6, 0.5]), 4)
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    buffer, number = _nearest(at, depth, faces, np.array([10, 8]))
    expected = np.full((8, 10), np.inf, np.float32)
    expected[1:5, 1:3], expected[1:5, 3:7] = 0.6, 0.5
    np.testing.assert_allclose(buffer, expected, atol=1e-5)
    assert set(number[1:5, 1:3].flat) == {0, 1} and set(number[1:5, 3:7].flat) == {2, 3}
    assert (number[np.isinf(expected)] == -1).all()


def test_outside_the_picture_is_not_seen(head, texels, painting):
    whole = unwrapped(head, texels, painting, facing(0))
    vertices, shift = head.neutral.numpy(), np.array([0.0, 0.03, 0.5])
    picture = render(head, painting, vertices, facing(0), shift)
    half = Frame(picture, 0.0, (0, 0, IMAGE[0] // 2, IMAGE[1]))
    view = unwrap(half, head, texels, vertices, FrameCamera(FOCAL, facing(0), shift, IMAGE, 200.0))
    assert view.trust[:, : SIZE // 2].sum() > 0.8 * whole.trust[:, : SIZE // 2].sum()
    assert view.trust[:, SIZE // 2 + 8 :].max() == 0.0  # the person's left is on the right of the picture


# --- fusion


def test_fusing_aligns_and_equalizes_instead_of_blurring():
    rng = np.random.default_rng(0)
    truth = cv2.resize(
        rng.random((128, 128, 3)).astype(np.float32), (512, 512), interpolation=cv2.INTER_CUBIC
    )
    truth = (0.35 + 0.3 * truth).clip(0, 1)
    ramp = np.linspace(0.85, 1.15, 512, dtype=np.float32)[None, :, None]
    shifted = np.roll(truth, (2, 3), axis=(0, 1)) * ramp
    left, right = np.ones((512, 512), np.float32), np.ones((512, 512), np.float32)
    left[:, 300:], right[:, :200] = 0.0, 0.0
    pixel, scale = np.zeros((512, 512, 2), np.float32), np.ones((512, 512), np.float32)
    views = [
        View(truth * left[..., None], left, pixel, scale),
        View(shifted * right[..., None], right, pixel, scale),
    ]
    fused = fuse(views, [1.0, 1.0])
    inner = (slice(40, -40), slice(220, 290))
    average = 0.5 * (truth + shifted)
    assert np.abs(fused.rgb - truth)[inner].mean() < 0.5 * np.abs(average - truth)[inner].mean()
    detail = [cv2.Laplacian(image, cv2.CV_32F)[inner].std() for image in (fused.rgb, truth, average)]
    assert detail[0] > 0.9 * detail[1] > detail[2]
    assert fused.seen.min() > 0.99
    assert (
        np.abs(fused.rgb[:, 420:].mean() / truth[:, 420:].mean() - 1.0) < 0.16
    )  # light carried on from the overlap


def test_noise_is_averaged_and_what_one_view_shows_alone_does_not_show_through():
    rng, size = np.random.default_rng(1), 512
    across = np.linspace(0, 120, size, dtype=np.float32)
    truth = 0.5 + 0.1 * np.sin(across)[None, :, None] * np.cos(across)[:, None, None] * np.ones(3, np.float32)
    pixel, ones = np.zeros((size, size, 2), np.float32), np.ones((size, size), np.float32)

    def view(noise):
        grain = noise * rng.standard_normal((size, size, 3)).astype(np.float32)
        return View((truth + grain).clip(0, 1), ones, pixel, ones)

    def detail(rgb):
        return cv2.Laplacian(rgb, cv2.CV_32F)[8:-8, 8:-8].ravel()

    def likeness(rgb):
        return np.corrcoef(detail(rgb), detail(truth))[0, 1]

    noisy = [view(0.03) for _ in range(5)]
    assert likeness(fuse(noisy, [1.0, *[0.9] * 4]).rgb) > 1.2 * likeness(noisy[0].rgb)

    clean = [view(0.0) for _ in range(4)]
    strand = slice(200, 212)
    clean[2].rgb[strand] = 0.05
    fused = fuse(clean, [1.0, *[0.9] * 3]).rgb
    assert np.abs(fused - truth)[strand].max() < 0.05  # a quarter of a half would be 0.06 in the mean
    beside = (slice(0, 180), slice(None))
    assert 1 < detail(fused[beside]).std() / detail(truth[beside]).std() < 1.5


def test_unseen_texels_continue_what_is_seen():
    rgb = np.zeros((64, 64, 3), np.float32)
    rgb[:, :32], rgb[:, 32:] = (0.8, 0.5, 0.4), (0.2, 0.3, 0.6)
    trust = np.zeros((64, 64), np.float32)
    trust[:, 4:12], trust[:, 52:60] = 1.0, 1.0
    filled = fill_unseen(rgb * trust[..., None], trust)
    np.testing.assert_allclose(filled[:, 5:11], rgb[:, 5:11], atol=1e-5)
    np.testing.assert_allclose(filled[32, 0], rgb[32, 0], atol=0.08)
    np.testing.assert_allclose(filled[32, 63], rgb[32, 63], atol=0.08)
    assert filled.min() > 0.15
    assert (np.diff(filled[32, :, 0]) < 0.02).all()  # from bright to dark without a swing


# --- keyframes


def face_frame(yaw: float, sharpness: float = 0.6, eyes: float = 1.0, pitch: float = 0.0) -> FaceFrame:
    rotation = (np.diag([1.0, -1.0, -1.0]) @ facing(yaw, pitch)).astype(np.float32)
    points = np.zeros((478, 2), np.float32)
    points[152] = (0.0, 200.0)
    frame = Frame(np.zeros((64, 64, 3), np.uint8), yaw, (0, 0, 64, 64))
    return FaceFrame(frame, Face(points, {}, rotation), sharpness, eyes, mouth_closed=1.0)


def test_keyframes_cover_the_poses_and_start_frontal():
    frames = [face_frame(yaw) for yaw in np.linspace(-45, 45, 46)]
    chosen = choose_keyframes(frames, 8)
    yaws = [c.face.yaw_deg for c in chosen]
    assert len(chosen) == 8 and abs(yaws[0]) < 3.0
    assert min(yaws) < -40 and max(yaws) > 40
    assert np.diff(np.sort(yaws)).max() < 18.0


def test_keyframes_prefer_sharp_frames_with_open_eyes():
    good = [face_frame(yaw) for yaw in range(-40, 41, 10)]
    blurred = [face_frame(yaw + 1, sharpness=0.05) for yaw in range(-40, 41, 10)]
    blinking = [face_frame(yaw + 2, eyes=0.1) for yaw in range(-40, 41, 10)]
    chosen = choose_keyframes(blurred + blinking + good, 6)
    assert all(any(c is g for g in good) for c in chosen)


# --- everything together


def test_one_photo_becomes_a_texture(single, painting, head, texels):
    assert single.rgb.shape == (SIZE, SIZE, 3) and single.rgb.dtype == np.float32
    assert single.seen.shape == (SIZE, SIZE) and 0.0 <= single.seen.min() and single.seen.max() <= 1.0
    assert single.fit.reprojection_error < 0.01
    assert single.fit.expression.shape == (1, len(head.config.expression_names))
    assert 0.12 < (single.seen > 0.3).mean() < 0.6
    assert single.rgb.min(axis=2).max() > 0.2 and single.rgb.max(axis=2).min() > 0.05  # no black anywhere
    sure = single.seen > 0.5
    shaded = single.rgb[sure] / painting[sure].clip(0.1)
    assert np.abs(shaded / np.median(shaded) - 1.0).mean() < 0.15


def test_features_fall_on_their_texels(single, head):
    """Brows and lips of the photo land where the layout has them."""
    from studio_avatar.head.layout import region_mask

    luma = single.rgb.mean(axis=2)
    face = region_mask(head, SIZE, "face") & (single.seen > 0.5)
    brows = region_mask(head, SIZE, "brows") & (single.seen > 0.5)
    assert luma[brows].mean() < 0.6 * luma[face].mean()
    redness = single.rgb[..., 0] - single.rgb[..., 1]
    lips = region_mask(head, SIZE, "lips") & (single.seen > 0.5)
    assert redness[lips].mean() > 1.3 * redness[face].mean()


def test_a_clip_shows_more_than_a_photo(several, single, painting, head):
    from studio_avatar.head.layout import region_mask

    assert 6 <= several.report.frames_used <= 8
    assert several.report.frames_sampled == several.report.frames_with_face == 8
    assert several.report.finding("yaw_range").value > 55
    assert several.fit.reprojection_error < 0.01
    assert (several.seen > 0.3).mean() > 1.3 * (single.seen > 0.3).mean()
    face = region_mask(head, SIZE, "face") & (several.seen > 0.5)
    face &= single.seen > 0.5
    clip_detail, photo_detail, truth = (
        (image.mean(2) - cv2.GaussianBlur(image.mean(2), (0, 0), 4))[face]
        for image in (several.rgb, single.rgb, painting)
    )
    assert clip_detail.std() > 0.8 * photo_detail.std()  # eight pictures are no blurrier than one
    # And their detail is nearer to its true place.
    assert np.corrcoef(clip_detail, truth)[0, 1] > max(0.65, np.corrcoef(photo_detail, truth)[0, 1])


def test_the_same_clip_gives_the_same_bytes_with_and_without_a_first_look(clip, head):
    told, looks = [], []

    def look(first):
        looks.append((first.texture, "fuse" in told))

    first = capture(clip, head, size=SIZE, max_keyframes=2)
    again = observe(clip, head, SIZE, 2, lambda stage, fraction: told.append(stage), first_look=look).texture
    assert again.rgb.tobytes() == first.rgb.tobytes()
    assert again.seen.tobytes() == first.seen.tobytes()
    ((early, was_late),) = looks
    assert not was_late and len(early.rgb) == TRACKING_SIZE // 2
    assert early.report.verdict == again.report.verdict and early.report.frames_used == 2
    # The fit goes on from there, by little: the face lies as in the end, some texels off.
    both = cv2.resize(early.seen, (SIZE, SIZE), interpolation=cv2.INTER_AREA) * again.seen > 0.9
    small = cv2.resize(early.rgb, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    assert both.any() and np.abs(small - again.rgb)[both].mean() < 0.03


def test_a_first_look_that_fails_ends_the_capture_and_one_photo_has_none(clip, photo, head):
    def look(first):
        raise KeyError("no place to draw it")

    with pytest.raises(KeyError, match="no place to draw it"):
        observe(clip, head, SIZE, 2, first_look=look)
    observe(photo, head, 64, first_look=look)


def test_report_is_json_and_tells_what_to_do(single, several):
    for texture in (single, several):
        report = json.loads(json.dumps(texture.report.to_dict()))
        assert report["summary"].endswith(".")
        assert all(finding["advice"] for finding in report["findings"] if finding["verdict"] != "good")
    assert single.report.finding("yaw_range").verdict == "poor"
    assert several.report.finding("face_seen").value > single.report.finding("face_seen").value


def test_progress_is_told_in_order(head, photo):
    told = []
    capture(photo, head, size=64, progress=lambda stage, fraction: told.append((stage, fraction)))
    stages = list(dict.fromkeys(stage for stage, _ in told))
    assert stages == ["landmarks", "fit", "unwrap", "fuse"]
    assert all(0.0 <= fraction <= 1.0 for _, fraction in told)
    for stage in stages:
        fractions = [f for s, f in told if s == stage]
        assert fractions == sorted(fractions) and fractions[-1] == 1.0


# --- bad input


def test_no_face(head):
    with pytest.raises(errors.NoFaceError, match="face"):
        capture(np.full((300, 300, 3), 120, np.uint8), head, size=64)


def test_two_people(head, photo):
    with pytest.raises(errors.SeveralFacesError, match="one person"):
        capture(np.concatenate([photo, photo], axis=1), head, size=64)


def test_a_small_bystander_is_ignored(head, photo):
    crowd = np.concatenate([photo, np.full((IMAGE[1], 240, 3), 100, np.uint8)], axis=1)
    crowd[100:340, IMAGE[0] + 20 : IMAGE[0] + 212] = cv2.resize(
        photo, (192, 240), interpolation=cv2.INTER_AREA
    )
    texture = capture(crowd, head, size=64)
    assert texture.report.finding("face_height").value > 150


def test_a_tiny_face(head, photo):
    tiny = np.full((300, 300, 3), 110, np.uint8)
    tiny[100:200, 110:190] = cv2.resize(photo, (80, 100), interpolation=cv2.INTER_AREA)
    with pytest.raises(errors.CaptureError):
        capture(tiny, head, size=64)


def test_a_missing_package_is_named(head, photo, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mediapipe", None)
    with pytest.raises(errors.MissingDependencyError, match="pip install mediapipe"):
        capture(photo, head, size=64)


def test_never_frontal(head, painting):
    side = [render(head, painting, head.neutral.numpy(), facing(yaw)) for yaw in (46, 50)]
    with pytest.raises(errors.NeverFrontalError, match="straight into it"):
        capture(side, head, size=64)


def test_nothing_sharp(head, photo):
    with pytest.raises(errors.BlurredError, match="hold still"):
        capture(cv2.GaussianBlur(photo, (0, 0), 12), head, size=64)


def test_frames_are_rejected_with_a_counted_reason(head, painting):
    """A blurred frame and one without a face among five good ones."""
    pictures = [render(head, painting, head.neutral.numpy(), facing(yaw)) for yaw in range(-20, 21, 10)]
    blurred = cv2.GaussianBlur(pictures[2], (0, 0), 5)
    nobody = np.full_like(pictures[0], 90)
    texture = capture([*pictures, blurred, nobody], head, size=64, max_keyframes=2)
    assert texture.report.frames_rejected["blurred"] == 1
    assert texture.report.frames_rejected["no_face"] == 1
    assert texture.report.frames_sampled == 7 and texture.report.frames_with_face == 6
