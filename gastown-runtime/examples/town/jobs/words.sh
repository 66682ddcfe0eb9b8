# words TEXT: how many words it has.
words() {
    printf '%s\n' "$1" | wc -w | tr -d ' '
}
