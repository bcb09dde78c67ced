// The update of P weights, or of P biases: three registered stages behind the products, a word a cycle. Each coupling
// and each layer's biases (an entry) have shift registers of their own, one a lane; those of `seed` begin at the seeds.
module mep_update #(
`include "mep_config.svh"
) (
    input  logic            clk,
    input  logic            seed,       // entry `seed_entry` takes its seeds
    input  logic [EW-1:0]   seed_entry,
    input  logic            draw_3,     // a cycle before the products: the entry's registers move on
    input  logic [EW-1:0]   entry_3,
    input  logic [EW-1:0]   entry_4,    // with the products
    input  logic [EW-1:0]   entry_5,
    input  logic [P*MB-1:0] plus_4,
    input  logic [P*MB-1:0] minus_4,
    input  logic [P*OB-1:0] old_5,      // a cycle behind the products
    output logic [P*OB-1:0] new_6       // two cycles behind the products
);
    logic [32*P-1:0] seeds[0:ENTRIES-1];
    logic [32*P-1:0] registers[0:ENTRIES-1];
    logic [32*P-1:0] drawn, drawn_4;
    if (LEARN != 0) initial $readmemh(SEEDS_FILE, seeds);
    wire [32*P-1:0] held = registers[entry_3];

    function automatic [31:0] advance(input [31:0] from);
        advance = from ^ (from << 13);
        advance = advance ^ (advance >> 17);
        advance = advance ^ (advance << 5);
    endfunction

    always_comb for (int p = 0; p < P; p++) drawn[32*p+:32] = advance(held[32*p+:32]);
    always_ff @(posedge clk) begin
        if (seed) registers[seed_entry] <= seeds[seed_entry];
        else if (draw_3) registers[entry_3] <= drawn;
        drawn_4 <= drawn;
    end
    for (genvar p = 0; p < P; p++) begin : lane
        logic signed [QB-1:0] difference, change;
        logic [32:0] noise;
        logic signed [OB-1:0] most, next;
        logic signed [QB-1:0] moved, limit;
        always_comb begin
            noise = 33'd0;
            for (int e = 0; e < ENTRIES; e++)
                if (entry_4 == EW'(e)) noise = {1'b0, drawn_4[32*p+:32]} >> (32'd32 - SHIFT[32*e+:32]);
        end
        always_comb begin
            {change, most} = '0;
            for (int e = 0; e < ENTRIES; e++)
                if (entry_5 == EW'(e)) begin
                    change = difference >>> SHIFT[32*e+:32];
                    most = MOST[32*e+:OB];
                end
            moved = change + QB'($signed(old_5[OB*p+:OB]));
            limit = QB'(most);
            if (moved > limit) next = most;
            else if (moved < ~limit) next = ~most;
            else next = moved[OB-1:0];
        end
        always_ff @(posedge clk) begin
            difference <= QB'($signed(plus_4[MB*p+:MB])) - QB'($signed(minus_4[MB*p+:MB])) + QB'($signed({1'b0, noise}));
            new_6[OB*p+:OB] <= next;
        end
    end
endmodule
