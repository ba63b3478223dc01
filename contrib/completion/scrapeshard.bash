# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Completion for bash. It asks the program: commands and flags are those of its --help.

_scrapeshard_help() { # COMMAND...
    "${COMP_WORDS[0]}" "$@" --help 2>/dev/null
}

# Words to choose from, or files if there are none, for the word in hand.
_scrapeshard_values() { # FLAG WORD
    case $1 in
    --log.level) mapfile -t COMPREPLY < <(compgen -W "debug info warn error" -- "$2") ;;
    --log.format) mapfile -t COMPREPLY < <(compgen -W "logfmt json" -- "$2") ;;
    --config.file) mapfile -t COMPREPLY < <(compgen -f -- "$2") && compopt -o filenames 2>/dev/null ;;
    *) COMPREPLY=() ;;
    esac
}

_scrapeshard() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=serve commands
    COMPREPLY=()
    commands="serve $(_scrapeshard_help | grep -oE 'scrapeshard [a-z]+ --help' | cut -d ' ' -f 2 | tr '\n' ' ')"
    if [ "$COMP_CWORD" -gt 1 ] && [[ " $commands " == *" ${COMP_WORDS[1]} "* ]]; then
        command=${COMP_WORDS[1]}
    fi

    # bash cuts --flag=value into three words.
    if [ "$word" = = ]; then
        _scrapeshard_values "$before" ""
    elif [ "$before" = = ]; then
        _scrapeshard_values "${COMP_WORDS[COMP_CWORD - 2]}" "$word"
    elif [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_scrapeshard_help "$command" | grep -oE '^ +--[a-z.-]+=?' | tr -d ' ')" -- "$word")
        [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace 2>/dev/null
    elif [ "$COMP_CWORD" = 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$commands --version" -- "$word")
    elif [ "$command" != serve ]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        compopt -o filenames 2>/dev/null
    fi
}
complete -F _scrapeshard scrapeshard
