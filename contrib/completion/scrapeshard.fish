# SPDX-License-Identifier: Apache-2.0
# fish completion. Commands and flags are read from --help.

# Words or files for the value of a flag with this placeholder in --help.
function __scrapeshard_values # PLACEHOLDER VALUE
    switch $argv[1]
        case LEVEL
            string join \n debug info warn error
        case FORMAT
            string join \n logfmt json
        case FILE
            __fish_complete_path $argv[2]
    end
end

function __scrapeshard_complete
    set -l before (commandline -opc)
    set -l word (commandline -ct)
    set -l help (command $before[1] --help 2>/dev/null)
    set -l commands (string replace -rf '^  ([a-z]+)  +(.*)' '$1\t$2' -- $help)
    set -l names (string replace -r '\t.*' '' -- $commands)
    if set -q before[2]; and contains -- $before[2] $names
        set help (command $before[1] $before[2] --help 2>/dev/null)
    end

    # --flag value, --flag=value, --flag, a command, a file.
    set -l placeholder (string replace -rf -- '^  '$before[-1]'=(\S+) .*' '$1' $help)
    if set -q placeholder[1]
        __scrapeshard_values $placeholder $word
    else if string match -qr -- '^--.*=' $word
        set -l flag (string replace -r -- '=.*' '' $word)
        set placeholder (string replace -rf -- '^  '$flag'=(\S+) .*' '$1' $help)
        string replace -r -- '^' $flag= (__scrapeshard_values "$placeholder" (string replace -r -- '^[^=]*=' '' $word))
    else if string match -q -- '-*' $word
        string replace -rf -- '^  (--[a-z.-]+=?)\S* +(.*)' '$1\t$2' $help
    else if not set -q before[2]
        string join \n $commands
    else if string match -qr -- '[ []FILE' $help[1]
        __fish_complete_path $word
    end
end

complete -c scrapeshard -f -a '(__scrapeshard_complete)'
