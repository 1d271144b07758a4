"""`completion`: a script that completes verbs, flags and their values. Made from the commands themselves; once loaded
it starts no program, so a Tab is answered at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Annotated, Any

import typer

PROGRAM = "os-image-composer"
EPILOG = """\b
Examples:
  source <(os-image-composer completion bash)
  os-image-composer completion zsh > ~/.zfunc/_os-image-composer
  os-image-composer completion fish > ~/.config/fish/completions/os-image-composer.fish
"""


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@dataclass(frozen=True)
class Flag:
    """`values` are all that it takes; `valued` tells whether a word belongs to it at all."""

    names: tuple[str, ...]
    about: str
    valued: bool
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verb:
    """`path` is empty for the program itself; `words` are the verbs below, or the words that it takes."""

    path: tuple[str, ...]
    about: str
    flags: tuple[Flag, ...]
    words: tuple[str, ...]


def register(app: typer.Typer) -> None:
    def completion(shell: Annotated[Shell, typer.Argument(help="The shell to complete for.")]) -> None:
        """Print a completion script for a shell."""
        for line in SCRIPTS[shell](tuple(verbs(typer.main.get_command(app)))):
            print(line)

    app.command(epilog=EPILOG)(completion)


def verbs(command: Any, path: tuple[str, ...] = ()) -> Iterator[Verb]:
    """The program and all its verbs, from the tree that typer makes."""
    below = getattr(command, "commands", {})
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    choices = tuple(value for argument in arguments for value in _choices(argument))
    flags = [_flag(p) for p in command.params if p.param_type_name == "option"]
    flags.append(Flag(("-h", "--help"), "Show this message and exit.", False))
    about = (command.help or "").strip().split("\n", 1)[0]
    yield Verb(path, about, tuple(flags), tuple(below) or choices)
    for name, child in below.items():
        yield from verbs(child, (*path, name))


def _flag(option: Any) -> Flag:
    return Flag((*option.opts, *option.secondary_opts), option.help or "", not option.is_flag, _choices(option))


def _choices(parameter: Any) -> tuple[str, ...]:
    annotation = parameter.type_descriptor.annotation
    if not (isinstance(annotation, type) and issubclass(annotation, Enum)):
        return ()
    return tuple(str(one.value) for one in annotation)


def bash_lines(found: Sequence[Verb]) -> Iterator[str]:
    """For bash from 4.0 on, without the package bash-completion; words it does not know are completed as files."""
    valued = sorted({name for verb in found for flag in verb.flags if flag.valued for name in flag.names})
    yield "_os_image_composer() {"
    yield "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb='' word i"
    yield f"    local valued=' {' '.join(valued)} '"
    yield "    COMPREPLY=()"
    yield "    for ((i = 1; i < COMP_CWORD; i++)); do"
    yield "        word=${COMP_WORDS[i]}"
    yield '        [[ $valued == *" ${COMP_WORDS[i-1]} "* ]] && continue'
    yield '        case "$verb/$word" in'
    for verb in found:
        if verb.path:
            yield f"            '{' '.join(verb.path[:-1])}/{verb.path[-1]}') verb='{' '.join(verb.path)}' ;;"
    yield "        esac"
    yield "    done"
    yield '    case "$prev" in'
    for names, values in _values(found).items():
        yield f"        {'|'.join(names)}) COMPREPLY=($(compgen -W '{' '.join(values)}' -- \"$cur\")); return ;;"
    yield "    esac"
    yield '    [[ $valued == *" $prev "* ]] && return'
    yield '    case "$verb" in'
    for verb in found:
        flags = " ".join(name for flag in verb.flags for name in flag.names if name.startswith("--"))
        yield f"        '{' '.join(verb.path)}') word='{' '.join(verb.words)}'; [[ $cur == -* ]] && word='{flags}' ;;"
    yield "    esac"
    yield '    COMPREPLY=($(compgen -W "$word" -- "$cur"))'
    yield "    return 0"
    yield "}"
    yield f"complete -o filenames -o bashdefault -o default -F _os_image_composer {PROGRAM}"


def zsh_lines(found: Sequence[Verb]) -> Iterator[str]:
    """The same function, through zsh's own emulation of bash's completion."""
    yield f"#compdef {PROGRAM}"
    yield "autoload -U +X compinit && { whence compdef >/dev/null || compinit; }"
    yield "autoload -U +X bashcompinit && bashcompinit"
    yield from bash_lines(found)


def fish_lines(found: Sequence[Verb]) -> Iterator[str]:
    for verb in found:
        where = _fish_condition(verb, found)
        for word in verb.words:
            about = next((v.about for v in found if v.path == (*verb.path, word)), "")
            files = "-f " if any(v.path == (*verb.path, word) for v in found) else ""
            yield f"complete -c {PROGRAM} {files}-n {where} -a {word} -d {_fish(about)}"
        for flag in verb.flags:
            names = " ".join(f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in flag.names)
            values = f" -x -a {_fish(' '.join(flag.values))}" if flag.values else " -r" if flag.valued else ""
            yield f"complete -c {PROGRAM} -n {where} {names}{values} -d {_fish(flag.about)}"


def _fish_condition(verb: Verb, found: Sequence[Verb]) -> str:
    if not verb.path:
        return "__fish_use_subcommand"
    condition = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in verb.path)
    if any(len(v.path) > len(verb.path) and v.path[: len(verb.path)] == verb.path for v in found):
        condition += f"; and not __fish_seen_subcommand_from {' '.join(verb.words)}"
    return _fish(condition)


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _values(found: Sequence[Verb]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Flags that take one of some words. The same flag means the same with every verb."""
    return {flag.names: flag.values for verb in found for flag in verb.flags if flag.values}


SCRIPTS: dict[Shell, Callable[[Sequence[Verb]], Iterator[str]]] = {
    Shell.BASH: bash_lines,
    Shell.ZSH: zsh_lines,
    Shell.FISH: fish_lines,
}
