"""Lists of an album's songs for players and writers of discs: .m3u8 and .cue.

Source: RFC 8216, section 4 (M3U8 in general; #EXTINF and UTF-8); CDRWIN user's guide,
appendix A (cue sheets).
"""

from __future__ import annotations

from hierarchy.album.manifest import Manifest

_FRAMES = 75  # of a cue sheet's second


def playlist(manifest: Manifest) -> str:
    """The finished songs as an extended M3U playlist in UTF-8."""
    lines = ["#EXTM3U", f"#PLAYLIST:{_line(manifest.title)}"]
    lines += [f"#EXTALB:{_line(manifest.title)}", f"#EXTART:{_line(manifest.artist)}"]
    if manifest.cover:
        lines.append(f"#EXTIMG:{manifest.cover}")
    for song in manifest.songs:
        name = f"{_line(manifest.artist)} - {_line(song.title)}"
        # A name that starts with # would be a comment.
        file = f"./{song.file}" if song.file.startswith("#") else song.file
        lines += [f"#EXTINF:{round(song.seconds)},{name}", file]
    return "\n".join(lines) + "\n"


def cue_sheet(manifest: Manifest) -> str:
    """The finished songs as a cue sheet, one file a track.

    The silence between songs lies at the end of each file, as on a disc that plays
    through; so no pregap is named.
    """
    lines = [
        f"REM DATE {manifest.date}",
        f"REM COMMENT {_quoted(manifest.software)}",
        f"PERFORMER {_quoted(manifest.artist)}",
        f"TITLE {_quoted(manifest.title)}",
    ]
    for song in manifest.songs:
        lines += [
            f"FILE {_quoted(song.file)} WAVE",
            f"  TRACK {song.number:02d} AUDIO",
            f"    TITLE {_quoted(song.title)}",
            f"    PERFORMER {_quoted(manifest.artist)}",
            f"    INDEX 01 {cue_time(0)}",
        ]
    return "\r\n".join(lines) + "\r\n"


def cue_time(seconds: float) -> str:
    """Minutes, seconds and frames of a 75th of a second.

    >>> cue_time(61.5)
    '01:01:37'
    """
    frames = int(seconds * _FRAMES + 1e-6)
    return (
        f"{frames // _FRAMES // 60:02d}:{frames // _FRAMES % 60:02d}:"
        f"{frames % _FRAMES:02d}"
    )


def _line(text: str) -> str:
    return " ".join(text.split())


def _quoted(text: str) -> str:
    # Cue sheets have no way to write a quotation mark inside quotation marks.
    return '"' + _line(text).replace('"', "'") + '"'
