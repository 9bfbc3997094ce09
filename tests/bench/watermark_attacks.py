"""What is done to a leaked copy before it is put somewhere, as arguments of ffmpeg."""

from __future__ import annotations

from collections.abc import Mapping

Attack = tuple[str, ...]


def attacks(width: int, height: int) -> Mapping[str, Attack]:
    """Name → what is done to a copy of so many pixels, all but scaling one down whose name says from where."""
    return {
        "same_quality": ("-crf", "20"),
        "crf_28": ("-crf", "28"),
        "crf_35": ("-crf", "35"),
        "crop_5_percent": ("-vf", f"crop=iw*0.95:ih*0.95:iw*0.04:ih*0.01,scale={width}:{height}", "-crf", "28"),
        "brightness_gamma": ("-vf", "eq=brightness=0.06:contrast=1.1:gamma=1.2", "-crf", "28"),
        "25_to_30_fps": ("-vf", "fps=30", "-crf", "28"),
        # From somewhere, to somewhere.
        "excerpt": ("-ss", "17.3", "-t", "120", "-crf", "28"),
        "simulated_recapture": ("-vf", _recaptured(width, height), "-crf", "27"),
        "360p_crf_30": ("-vf", "scale=640:360", "-crf", "30"),
        "360p_crf_35": ("-vf", "scale=640:360", "-crf", "35"),
        "denoise_hevc": (
            *("-vf", "hqdn3d=4,scale=640:360"),
            *("-c:v", "libx265", "-crf", "30", "-x265-params", "log-level=error"),
        ),
        "flip_crop_gamma_fps_360p": (
            *("-vf", "hflip,crop=iw*0.94:ih*0.95,scale=640:360,eq=gamma=1.15,unsharp,fps=30"),
            *("-crf", "30"),
        ),
    }


FROM_1080P_TO_480P: Attack = ("-vf", "scale=854:480", "-crf", "28")


def _recaptured(width: int, height: int) -> str:
    """A camera before a screen, as far as filters can say it: a slight turn, other edges, less light, blur, noise, another pace."""
    return (
        f"rotate=0.012:ow=iw:oh=ih,scale=iw*0.97:ih*0.96,pad={width}:{height}:{width // 95}:{height // 40}:0x101010,"
        f"eq=brightness=-0.04:contrast=0.9:gamma=0.92,gblur={height / 600:.1f},noise=c0s=7:c0f=t,fps=24"
    )
