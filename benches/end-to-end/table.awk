# Reads lines of corpus, route, tool, wall, user, system, peak KiB, bytes. Prints the medians of each
# group in the order of first occurrence, the ratio of skopeo at its default level to them, and the
# ratio of ours to the machine's floor (see hack/bench). "cores" is a variable.

function median(list, values, n, i, j, value) {
    n = split(list, values, " ")
    for (i = 2; i <= n; i++) {
        value = values[i] + 0
        for (j = i - 1; j >= 1 && values[j] + 0 > value; j--) values[j + 1] = values[j]
        values[j + 1] = value
    }
    return n % 2 ? values[(n + 1) / 2] + 0 : (values[n / 2] + values[n / 2 + 1]) / 2
}

function max(a, b) { return a > b ? a : b }

function ratio(of, to) { return part[3] != "gunzip" && of > 0 && to > 0 ? sprintf("%.2f", of / to) : "-" }

{
    key = $1 " " $2 " " $3
    if (!(key in wall)) order[++groups] = key
    wall[key] = wall[key] " " $4
    cpu[key] = cpu[key] " " ($5 + $6)
    peak[key] = peak[key] " " ($7 / 1024)
    size[key] = size[key] " " ($8 / 1e6)
    runs[key]++
}

END {
    print "| corpus | route | tool | runs | wall s | CPU s | peak MiB | size MB |" \
        " skopeo / tool: wall | CPU | memory | size |" \
        " wall to floor |"
    print "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for (i = 1; i <= groups; i++) {
        key = order[i]
        split(key, part, " ")
        peer = part[1] " " part[2] " skopeo"
        w = median(wall[key]); c = median(cpu[key]); p = median(peak[key]); s = median(size[key])
        floor = max(median(wall[part[1] " layout gunzip"]), c / cores)
        printf "| %s | %s | %s | %d | %.2f | %.2f | %.0f | %.2f | %s | %s | %s | %s | %s |\n",
            part[1], part[2], part[3], runs[key], w, c, p, s,
            ratio(median(wall[peer]), w), ratio(median(cpu[peer]), c),
            ratio(median(peak[peer]), p), ratio(median(size[peer]), s),
            part[3] ~ /^ours/ ? ratio(w, floor) : "-"
    }
}
