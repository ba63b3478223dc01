# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# bash completion. Commands and flags are read from --help.

# Words or files for the value of a flag.
_scrapeshard_values() { # HELP FLAG WORD
    local placeholder
    placeholder=$(sed -nE "s/^  $2=(\S+) .*/\1/p" <<<"$1")
    case $placeholder in
    LEVEL) mapfile -t COMPREPLY < <(compgen -W "debug info warn error" -- "$3") ;;
    FORMAT) mapfile -t COMPREPLY < <(compgen -W "logfmt json" -- "$3") ;;
    FILE) mapfile -t COMPREPLY < <(compgen -f -- "$3") && compopt -o filenames 2>/dev/null ;;
    esac
    [ -n "$placeholder" ]
}

_scrapeshard() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} program=${COMP_WORDS[0]} commands help
    COMPREPLY=()
    help=$("$program" --help 2>/dev/null)
    commands=$(sed -nE 's/^  ([a-z]+)  .*/\1/p' <<<"$help")
    if [ "$COMP_CWORD" -gt 1 ] && grep -qxF -e "${COMP_WORDS[1]}" <<<"$commands"; then
        help=$("$program" "${COMP_WORDS[1]}" --help 2>/dev/null)
    fi

    # bash splits --flag=value into three words.
    if [ "$word" = = ]; then
        _scrapeshard_values "$help" "$before" ""
    elif [ "$before" = = ]; then
        _scrapeshard_values "$help" "${COMP_WORDS[COMP_CWORD - 2]}" "$word"
    elif [[ $before == --* ]] && _scrapeshard_values "$help" "$before" "$word"; then
        return
    elif [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(sed -nE 's/^  (--[a-z.-]+=?).*/\1/p' <<<"$help")" -- "$word")
        [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace 2>/dev/null
    elif [ "$COMP_CWORD" = 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word")
    elif [[ ${help%%$'\n'*} == *[\ \[]FILE* ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        compopt -o filenames 2>/dev/null
    fi
}
complete -F _scrapeshard scrapeshard
