// Reads one case as JSON on stdin, {"times": [[...], ...]}, and prints the order of the jobs as JSON.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

// How much a job is unwanted as the next one: the least is taken.
// time[m]: of this job on machine m; ready[m]: when machine m is free; done[m]: when it would be done with this job;
// load[m]: time of all jobs that are left on machine m, this one included; left: share of jobs not yet placed.
static double cost(const std::vector<double>& time, const std::vector<double>& ready,
                   const std::vector<double>& done, const std::vector<double>& load, double left) {
    // EVOLVE-BLOCK-START
    const int machines = (int)time.size();
    double idle = 0.0;
    double work = 0.0;
    double late = done[machines - 1] - ready[machines - 1];
    for (int m = 0; m < machines; m++) {
        double place = (m + 1.0) / machines;
        double wait = done[m] - time[m] - ready[m];
        idle += wait * 1.0;
        work += time[m] * place;
    }
    double value = idle * 1.0;
    value += late * 0.0;
    value += work * 0.0 * left;
    return value;
    // EVOLVE-BLOCK-END
}

static std::vector<std::vector<double>> read_times() {
    std::vector<std::vector<double>> times;
    int depth = 0, sign;
    for (sign = std::getchar(); sign != EOF; sign = std::getchar()) {
        if (sign == '[' && ++depth == 2) times.emplace_back();
        if (sign == ']') depth--;
        if (depth == 2 && sign >= '0' && sign <= '9') {
            std::ungetc(sign, stdin);
            double value;
            if (std::scanf("%lf", &value) != 1) std::exit(1);
            times.back().push_back(value);
        }
    }
    return times;
}

int main() {
    const auto times = read_times();
    const size_t jobs = times.size();
    if (jobs == 0) return 1;
    const size_t machines = times[0].size();
    std::vector<double> ready(machines, 0.0), load(machines, 0.0), done(machines), best_done;
    for (const auto& time : times)
        for (size_t m = 0; m < machines; m++) load[m] += time[m];
    std::vector<bool> placed(jobs, false);
    for (size_t position = 0; position < jobs; position++) {
        size_t best = jobs;
        double least = 0.0;
        for (size_t job = 0; job < jobs; job++) {
            if (placed[job]) continue;
            double before = 0.0;
            for (size_t m = 0; m < machines; m++) before = done[m] = std::max(before, ready[m]) + times[job][m];
            const double value = cost(times[job], ready, done, load, double(jobs - position) / jobs);
            if (best == jobs || value < least) best = job, least = value, best_done = done;
        }
        placed[best] = true;
        ready = best_done;
        for (size_t m = 0; m < machines; m++) load[m] -= times[best][m];
        std::printf("%s%zu", position ? ", " : "[", best);
    }
    std::printf("]\n");
}
