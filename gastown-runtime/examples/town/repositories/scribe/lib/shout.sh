# shout TEXT: the text in capitals.
shout() {
    printf '%s\n' "$1" | tr '[:lower:]' '[:upper:]'
}
