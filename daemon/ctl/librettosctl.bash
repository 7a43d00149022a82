# SPDX-License-Identifier: BSD-2-Clause
# bash completion for librettosctl: sourced from bash-completion's folder, or by `source <(librettosctl completion bash)`.

_librettosctl_guests() {
    librettosctl --timeout 1 guests 2>/dev/null | awk '$1 == "GUEST" { table = 1; next } !NF { exit } table { print $1 }'
}

_librettosctl() {
    local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD - 1]}"
    local global="--json --socket --stats-file --timeout --help --version"
    local command="" second="" words="" skip=0 i
    for ((i = 1; i < COMP_CWORD; ++i)); do
        if ((skip)); then
            skip=0
            continue
        fi
        case "${COMP_WORDS[i]}" in
            --socket | --stats-file | --timeout | --guest | --protocol | --reason | --frames-per-s | --bits-per-s | --ports | --ip | --config | --vf)
                skip=1 ;;
            -*) ;;
            *)
                if [[ -z $command ]]; then
                    command="${COMP_WORDS[i]}"
                elif [[ -z $second ]]; then
                    second="${COMP_WORDS[i]}"
                fi
                ;;
        esac
    done

    case "$previous" in
        --socket | --stats-file | --config)
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
        --protocol)
            mapfile -t COMPREPLY < <(compgen -W "tcp udp" -- "$current")
            return
            ;;
        --guest)
            mapfile -t COMPREPLY < <(compgen -W "$(_librettosctl_guests)" -- "$current")
            return
            ;;
        --timeout | --reason | --frames-per-s | --bits-per-s | --ports | --ip | --vf)
            return
            ;;
    esac

    case "$command" in
        "") words="status doctor guests guest ports stats limit attach detach switch vf completion $global" ;;
        guest) [[ -z $second ]] && words="$(_librettosctl_guests)" ;;
        ports) words="who why --guest --protocol" ;;
        stats) words="--watch --guest --all --prometheus" ;;
        limit)
            words="--frames-per-s --bits-per-s --ports"
            [[ -z $second ]] && words="$(_librettosctl_guests)"
            ;;
        doctor) words="--config" ;;
        attach)
            words="--dedicated --shared --ip"
            [[ -z $second ]] && words="$(_librettosctl_guests)"
            ;;
        detach)
            words="--reason"
            [[ -z $second ]] && words="$(_librettosctl_guests)"
            ;;
        switch)
            words="direct server auto --dry-run --vf --timeout"
            [[ -z $second ]] && words="$(_librettosctl_guests)"
            ;;
        completion) words="bash" ;;
    esac
    [[ -n $command && $current == -* ]] && words+=" --json --help"
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -F _librettosctl librettosctl
